"""A datastore that ``benchmarks/backup.py`` measures, and what it has found so far."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import raw_pgbackrest as raw
import report
from tests.e2e.machine import eventually
from tests.e2e.tenant import LocalSide, Store, Tenant, execute

BACKUPS = "backup/api/v1/backups"
WITHIN = 3600.0


@dataclass
class Found:
    """All figures; a part that fails leaves those of the parts before it."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    p99_ms: dict[str, float] = field(default_factory=dict)
    """Of single writes, by what went on meanwhile."""
    lost_s: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Parts that did not end, and why."""

    def took(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)
        report.say(f"{what}: {seconds:.1f} s")

    def median(self, what: str) -> float | None:
        return median(self.seconds[what]) if what in self.seconds else None


@dataclass
class Bench:
    user: Tenant
    store: Store
    local: LocalSide
    primary: dict[str, Any]
    node: raw.Node
    stanza: str
    gib: float
    folder: Path
    found: Found

    async def timed(self, what: str, doing: Awaitable[None]) -> None:
        began = time.monotonic()
        await doing
        self.found.took(what, time.monotonic() - began)

    async def ours(self, kind: str, what: str) -> dict[str, Any]:
        """A backup by the API; its time is that of the job's step that makes it."""
        job = await self.ended((await self.store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"])
        self.found.took(what, span(step(job, "backup")))
        self.found.took(f"{what}, whole job", span(job))
        return job

    async def ended(self, job_id: str) -> dict[str, Any]:
        async def over() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.user.call("GET", f"deployment/v2/jobs/{job_id}")
            return found if found["finished_at"] else None

        job: dict[str, Any] = await eventually(over, WITHIN, every=0.5, what="the job ends")
        assert job["status"] == "JOB_STATUS_FINISHED", job["error"]
        return job

    async def change(self, part: int, of: int = 50) -> None:
        """One row in ``of`` is written anew, and is in the data files."""
        await execute(self.primary, f"update filler set b = repeat('{part % 10}', 400) where id % {of} = {part}")
        await self.checkpoint()

    async def checkpoint(self) -> None:
        await self.node.do("psql -h /run/postgresql -Atqc checkpoint postgres")


def step(job: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in job["steps"] if step["name"] == name)
    return found


def span(timed: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(timed[key]) for key in ("started_at", "finished_at"))
    return (ended - began).total_seconds()
