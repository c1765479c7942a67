"""What a steady load of writes feels of a backup: raw pgBackRest's, ours, and of the store's own work."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import psycopg
import raw_pgbackrest as raw
import report
from backup_bench import Bench, span, step
from tests.e2e.tenant import execute

WRITES_A_SECOND = 50
CONNECTIONS = 8
QUIET_FOR_S = 60.0
_OTHERS = ("archive", "count", "read back", "expire", "list")
"""Steps of the job beside the backup, each told of that lasts a second or more."""


@dataclass(frozen=True)
class Write:
    at: float
    """When it was due, in seconds since the epoch."""
    took: float
    """Seconds from then until it was acknowledged."""


async def writes(bench: Bench, trials: int) -> None:
    """p99 of single inserts: alone, during raw pgBackRest's full backup, during ours, and while the store is busy."""
    await execute(bench.primary, "create table if not exists beat (at timestamptz)")
    p99, jobs = bench.found.p99_ms, []
    await bench.checkpoint()

    async def ours() -> None:
        jobs.append(await bench.ours("full", "full, under writes"))

    alone = await during(bench, asyncio.sleep(QUIET_FOR_S))
    p99["without"] = of(alone)
    by_raw, by_us = [], []
    for _ in range(trials):
        full = raw.back_up(bench.node, bench.stanza, "full")
        by_raw += await during(bench, bench.timed("full, raw, under writes", full))
        by_us += await during(bench, ours())
    p99["raw pgBackRest"], p99["CCX, its step 'backup'"] = of(by_raw), of(_within(by_us, jobs, "backup"))
    p99["CCX, whole job"] = of(by_us)
    for name in _OTHERS:
        if len(some := _within(by_us, jobs, name)) >= WRITES_A_SECOND:
            p99[f"CCX, its step '{name}'"] = of(some)
    stored = await _stored(bench)
    speed = stored / span(step(jobs[-1], "backup"))
    async with _BusyStore(bench, speed):
        p99[f"the store alone takes {speed / 2**20:.0f} MiB/s"] = of(await during(bench, asyncio.sleep(QUIET_FOR_S)))
    p99["without, again"] = of(await during(bench, asyncio.sleep(QUIET_FOR_S)))


async def during(bench: Bench, doing: Awaitable[Any]) -> list[Write]:
    task = asyncio.ensure_future(doing)
    try:
        with _first():
            found = await _steadily(bench, task.done)
    finally:
        await task
    return found


@contextmanager
def _first() -> Iterator[None]:
    """Who measures waits for nobody: a client that got its processor late would count that as the database's time."""
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


async def _steadily(bench: Bench, until: Callable[[], bool]) -> list[Write]:
    """Single inserts at a steady rate, each at its time: on one of several connections, as an application's pool has.

    By one alone, a write would also wait for those before it.
    """
    found: list[Write] = []
    free: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()
    offset = time.time() - time.monotonic()

    async def write(due: float) -> None:
        connection = await free.get()
        await connection.execute("insert into beat (at) values (clock_timestamp())")
        found.append(Write(due + offset, time.monotonic() - due))
        free.put_nowait(connection)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as writing:
        for _ in range(CONNECTIONS):
            connecting = psycopg.AsyncConnection.connect(autocommit=True, **bench.primary)
            free.put_nowait(await stack.enter_async_context(await connecting))
        began, number = time.monotonic(), 0
        while not until():
            due, number = began + number / WRITES_A_SECOND, number + 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            writing.create_task(write(due))
    return found


def of(found: list[Write]) -> float:
    """Their p99 in milliseconds."""
    p99 = quantiles([write.took for write in found], n=100)[98] * 1000
    report.say(f"p99 of {len(found)} writes: {p99:.1f} ms")
    return p99


def _within(found: list[Write], jobs: list[dict[str, Any]], name: str) -> list[Write]:
    times = [[datetime.fromisoformat(step(job, name)[key]).timestamp() for key in _BOTH] for job in jobs]
    return [write for write in found if any(began <= write.at <= ended for began, ended in times)]


_BOTH = ("started_at", "finished_at")


async def _stored(bench: Bench) -> int:
    """Bytes that the newest backup added to the store."""
    [(stored,)] = await bench.user.installed.query(
        "select stored from stores.backup where datastore_id = %s order by ended_at desc limit 1", [bench.store.uuid]
    )
    return int(stored)


class _BusyStore:
    """Meanwhile somebody who is no node puts objects into the store, at that many bytes a second."""

    def __init__(self, bench: Bench, speed: float) -> None:
        self._installed = bench.user.installed
        self._speed = speed

    async def __aenter__(self) -> None:
        layout = self._installed.layout
        self._process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", layout.namespace, sys.executable, str(Path(__file__).with_name("busy_store.py")),
            layout.instance, str(self._speed), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert await self._process.stdout.readline(), "no object came into the store"

    async def __aexit__(self, *_: object) -> None:
        os.kill(self._process.pid, signal.SIGTERM)
        await self._process.wait()
