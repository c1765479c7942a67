"""The object store slow, overloaded, full: in the middle of a backup, of archiving and of a restore.

Nodes reach the real store by a way that tests can have fail (``faulty_way``). Whatever it does, the database goes on, a
job goes on or fails with the reason, and nothing that is incomplete looks complete.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant, execute, select

from ccx.embedded.layout import S3_PORT

BACKUPS = "backup/api/v1/backups"
BACKED_UP_WITHIN = 420.0
FAULTY_PORT = 18443
SWITCH = "runuser -u postgres -- psql -h /run/postgresql -Atqc 'select pg_switch_wal()' postgres"
_REDIRECT = (
    "table ip faulty {{ chain prerouting {{ type nat hook prerouting priority -100; "
    'iifname != "lo" tcp dport {store} redirect to :{way}; }}; }}'
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass
class FaultyWay:
    """Where nodes' connections to the store go."""

    process: asyncio.subprocess.Process

    async def has(self, **fault: Any) -> None:
        """From now on; nothing: all is well."""
        await self._say(fault)

    async def refused(self) -> int:
        """How many requests, since it was told to."""
        return int((await self._say(None))["refused"])

    async def passed(self) -> int:
        return int((await self._say(None))["passed"])

    async def _say(self, fault: dict[str, Any] | None) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(fault).encode() + b"\n")
        told: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return told


@pytest.fixture(scope="module")
async def way(installation: Installed) -> AsyncIterator[FaultyWay]:
    layout = installation.layout
    files = (layout.etc / "s3.crt", layout.etc / "s3.key", layout.etc / "ca.crt")
    where = (str(layout.control), str(FAULTY_PORT), str(S3_PORT))
    inside = ("ip", "netns", "exec", layout.namespace)
    process = await asyncio.create_subprocess_exec(
        *inside, sys.executable, "-m", "tests.e2e.faulty_way", *where, *map(str, files),
        cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline()
    await run(*inside, "nft", _REDIRECT.format(store=S3_PORT, way=FAULTY_PORT))
    try:
        yield FaultyWay(process)
    finally:
        await run(*inside, "nft", "delete table ip faulty")
        process.terminate()
        await process.wait()


@pytest.fixture(scope="module")
async def kept(tenant: Tenant, way: FaultyWay, folder: Path) -> Store:
    """One node, backed up by that way."""
    made = await tenant.create("kept", 1)
    rows = "select g as id, md5(g::text) as text from generate_series(1, 50000) g"
    await execute((await made.parameters(folder))[0], f"create table kept as {rows}")
    await ended(made, await begin(made, "full"))
    assert await way.passed() > 10, "what nodes ask of the store goes this way"
    return made


@pytest.fixture
async def store(kept: Store, way: FaultyWay, folder: Path) -> AsyncIterator[Store]:
    """STARTED before; and again once all is well. Its database takes writes all the time."""
    await kept.until_started(CREATED_WITHIN)
    writer = await kept.writer(folder)
    await asyncio.to_thread(writer.start)
    try:
        yield kept
    finally:
        await way.has()
        await asyncio.to_thread(writer.stop)
    assert writer.gap() < 3
    await kept.until_started(CREATED_WITHIN)


async def begin(store: Store, kind: str) -> str:
    job: str = (await store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"]
    return job


async def look(store: Store, job: str) -> dict[str, Any]:
    found: dict[str, Any] = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
    return found


async def ended(store: Store, job: str) -> dict[str, Any]:
    """The job, done."""

    async def over() -> dict[str, Any] | None:
        found = await look(store, job)
        return found if found["finished_at"] else None

    found: dict[str, Any] = await eventually(over, BACKED_UP_WITHIN, every=0.5, what="the job ends")
    assert found["state"] == "done", found
    return found


async def total(store: Store) -> int:
    return int((await store.call("GET", BACKUPS))["total"])


async def verified(store: Store) -> None:
    """All that is listed, and all of its log, is read; and is good."""
    job = (await store.tenant.call("POST", f"{BACKUPS}/{store.uuid}/verify"))["job_id"]
    await ended(store, job)
    for one in (await store.call("GET", BACKUPS))["backups"]:
        assert (one["status"], one["log_until"]) == ("completed", None), one


async def switch(store: Store, local: LocalSide) -> None:
    """Ends the segment that the log is in."""
    [node] = (await store.connection())["nodes"]
    init = str(await local.init_of(node["address"]))
    await run("nsenter", "-t", init, "-a", "sh", "-c", SWITCH)


async def test_a_slow_store_makes_a_slow_backup_and_nothing_else(store: Store, way: FaultyWay) -> None:
    before = await total(store)
    await way.has(rate=200_000)
    job = await begin(store, "full")
    await ended(store, job)
    await way.has()
    assert await total(store) == before + 1
    await verified(store)


async def test_a_backup_goes_on_after_a_store_that_answers_503_in_its_middle(store: Store, way: FaultyWay) -> None:
    before = await total(store)
    await way.has(status=503, after=8)
    job = await begin(store, "full")
    await eventually(lambda: _refused(way, 5), 120, every=0.5, what="the store refuses")
    assert await total(store) == before
    await way.has()
    await ended(store, job)
    assert await total(store) == before + 1
    await verified(store)


async def _refused(way: FaultyWay, times: int) -> bool:
    return await way.refused() >= times


async def test_the_log_waits_for_a_store_that_answers_503_and_none_of_it_is_lost(
    store: Store, way: FaultyWay, local: LocalSide
) -> None:
    await way.has(status=503, methods=["PUT", "POST"])
    await switch(store, local)

    async def named() -> bool:
        status, why = await store.status()
        return status == "DEGRADED" and "into the object store" in why

    await eventually(named, 120, every=1, what="the log that waits is named")
    await way.has()
    await store.until_started(120)
    await ended(store, await begin(store, "incremental"))
    await verified(store)


async def test_a_backup_is_tried_again_while_the_store_is_full_and_made_once_there_is_room(
    store: Store, way: FaultyWay
) -> None:
    before = await total(store)
    await way.has(status=507, methods=["PUT", "POST"])
    job = await begin(store, "full")

    async def tried_again() -> bool:
        found = await look(store, job)
        assert not found["finished_at"], found
        return any(step["attempts"] > 2 for step in found["steps"])

    await eventually(tried_again, 300, every=0.5, what="a step is tried again")
    assert await way.refused() > 0
    assert await total(store) == before
    await way.has()
    await ended(store, job)
    assert await total(store) == before + 1
    await verified(store)


async def test_a_restore_goes_on_after_a_store_that_answers_503_in_its_middle(
    store: Store, way: FaultyWay, folder: Path
) -> None:
    restored = await store.restore("through")
    await restored.reached("restore_datastore", "restore")
    await way.has(status=503, methods=["GET"], after=2)
    await eventually(lambda: _refused(way, 3), 120, every=0.2, what="the store refuses")
    await way.has()
    await restored.until_started(BACKED_UP_WITHIN)
    theirs = (await restored.parameters(folder))[0]
    assert await select(theirs, "select count(*) from kept") == 50_000
    await restored.delete()
