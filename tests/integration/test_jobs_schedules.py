"""Schedules: enqueued once each time, caught up with once, in batches, by any number of processes."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from tests.integration.conftest import Database

from ccx.db import utc_now
from ccx.errors import Invalid
from ccx.jobs import schedules

DAY = timedelta(days=1)


async def queued(database: Database, kind: str) -> list[dict]:
    async with database.sessions() as session:
        rows = await session.execute(text("select * from jobs.job where kind = :kind"), {"kind": kind})
        return [dict(row) for row in rows.mappings()]


async def test_a_due_schedule_enqueues_its_job_once_and_moves_on(database: Database) -> None:
    kind, owner = f"backup-{uuid4().hex}", ("user", uuid4())
    async with database.sessions.begin() as tx:
        first = await schedules.put(
            tx, kind, "30 2 * * *", kind, key="store", args={"full": True}, owner=owner, label="JOB_TYPE_BACKUP"
        )
    assert await schedules.tick(database.sessions, first - timedelta(seconds=1)) == 0
    # Three days late: made up for by one.
    late = first + 3 * DAY
    assert await schedules.tick(database.sessions, late) == 1
    assert await schedules.tick(database.sessions, late) == 0
    (job,) = await queued(database, kind)
    assert (job["key"], job["args"], job["label"]) == ("store", {"full": True}, "JOB_TYPE_BACKUP")
    assert (job["owner_type"], job["owner_id"]) == owner
    # While it is still queued, the next firing is that same job.
    assert await schedules.tick(database.sessions, late + DAY) == 1
    assert len(await queued(database, kind)) == 1


async def test_a_schedule_can_be_replaced_and_removed(database: Database) -> None:
    kind = f"backup-{uuid4().hex}"
    async with database.sessions.begin() as tx:
        await schedules.put(tx, kind, "0 0 1 1 *", kind, key="a")
        soon = await schedules.put(tx, kind, "* * * * *", kind, key="b")
    assert soon - utc_now() <= timedelta(minutes=1)
    assert await schedules.tick(database.sessions, soon) == 1
    assert [job["key"] for job in await queued(database, kind)] == ["b"]
    async with database.sessions.begin() as tx:
        assert await schedules.remove(tx, kind)
        assert not await schedules.remove(tx, kind)
    assert await schedules.tick(database.sessions, soon + DAY) == 0


async def test_a_wrong_expression_is_refused_before_anything_is_written(database: Database) -> None:
    async with database.sessions() as session:
        with pytest.raises(Invalid):
            await schedules.put(session, "wrong", "61 * * * *", "backup", key="a")
        assert await session.scalar(text("select count(*) from jobs.schedule where name = 'wrong'")) == 0


async def test_thousands_of_schedules_are_enqueued_once_by_processes_side_by_side(database: Database) -> None:
    kind, count = f"backup-{uuid4().hex}", 1200
    async with database.sessions.begin() as tx:
        first = [
            await schedules.put(tx, f"{kind}-{n}", "0 3 * * *", kind, key=f"store-{n}", jitter=timedelta(hours=1))
            for n in range(count)
        ]
    # Spread over the hour.
    assert max(first) - min(first) > timedelta(minutes=55)
    began = time.monotonic()
    ticked = await asyncio.gather(*(schedules.tick(database.sessions, max(first)) for _ in range(3)))
    assert sum(ticked) == count
    assert len({job["key"] for job in await queued(database, kind)}) == count
    assert len(await queued(database, kind)) == count
    assert time.monotonic() - began < 30
