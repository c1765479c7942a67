"""Queueing: in the caller's transaction, one at a time per key, in order; cancelled at once while nothing has begun."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.integration.conftest import Database
from tests.integration.jobs_support import a_key, define, ended, execute, get, put, running

from ccx import jobs
from ccx.db import utc_now
from ccx.jobs import Job, JobRecord, JobStatus


async def nothing(job: Job) -> None:
    """An operation without steps."""


async def test_a_job_whose_transaction_rolls_back_was_never_there(database: Database) -> None:
    async with database.sessions() as session:
        job_id = await jobs.enqueue(session, define(nothing), key=a_key())
        await session.rollback()
    async with database.sessions() as session:
        assert await jobs.get(session, job_id) is None


async def test_a_result_is_stored_and_the_job_is_done(database: Database) -> None:
    async def adds(job: Job, a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    job = await execute(database, define(adds), a=2, b=3)
    assert (job.status, job.result, job.error, job.attempt) == (JobStatus.DONE, {"sum": 5}, None, 1)
    assert job.finished_at
    assert job.runner is None


async def test_an_idle_runner_is_woken_long_before_it_would_poll(database: Database) -> None:
    async with running(database, poll=60.0):
        await asyncio.sleep(0.3)  # so that it has looked, found nothing, and listens
        began = time.monotonic()
        await ended(database, await put(database, define(nothing)))
    assert time.monotonic() - began < 5


async def test_jobs_of_one_key_run_one_at_a_time_in_their_order_and_others_beside_them(database: Database) -> None:
    log: list[str] = []
    meeting = asyncio.Barrier(2)

    async def meets(job: Job, name: str, meet: bool) -> None:
        log.append(f"begin {name}")
        if meet:
            await asyncio.wait_for(meeting.wait(), 10)
        log.append(f"end {name}")

    kind, one, other = define(meets), a_key(), a_key()
    ids = [await put(database, kind, key=one, args={"name": f"one-{n}", "meet": n == 0}) for n in range(4)]
    ids.append(await put(database, kind, key=other, args={"name": "other", "meet": True}))
    async with running(database):
        for job_id in ids:
            await ended(database, job_id)
    assert [entry for entry in log if "one" in entry] == [f"{w} one-{n}" for n in range(4) for w in ("begin", "end")]


async def test_a_second_job_with_dedup_is_the_queued_one_until_that_has_begun(database: Database) -> None:
    kind, key = define(nothing), a_key()
    first = await put(database, kind, key=key, dedup=True)
    assert await put(database, kind, key=key, dedup=True) == first
    assert await put(database, kind, key=key, dedup=False) != first
    async with running(database):
        await ended(database, first)
    assert await put(database, kind, key=key, dedup=True) != first


async def test_concurrent_enqueues_with_dedup_make_one_job(database: Database) -> None:
    kind, key = define(nothing), a_key()
    assert len(set(await asyncio.gather(*(put(database, kind, key=key, dedup=True) for _ in range(10))))) == 1


async def test_a_job_waits_for_its_time_without_holding_up_its_key(database: Database) -> None:
    kind, key = define(nothing), a_key()
    later = await put(database, kind, key=key, run_at=utc_now() + timedelta(hours=1))
    now = await put(database, kind, key=key)
    async with running(database):
        await ended(database, now)
    assert (await get(database, later)).status is JobStatus.QUEUED


async def test_a_queued_job_is_cancelled_at_once_and_its_handler_joins_the_transaction(database: Database) -> None:
    async def note(tx: AsyncSession, job: JobRecord, error: dict[str, Any] | None) -> None:
        assert error
        await tx.execute(text("create table if not exists notes (job uuid, err text)"))
        await tx.execute(text("insert into notes values (:job, :err)"), {"job": job.id, "err": error["err"]})

    job_id = await put(database, define(nothing, on_failed=note))
    async with database.sessions.begin() as tx:
        assert await jobs.cancel(tx, job_id)
    job = await get(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.CANCELLED, 0)
    async with database.sessions.begin() as tx:
        assert await tx.scalar(text("select err from notes where job = :job"), {"job": job_id}) == job.error["err"]
        assert not await jobs.cancel(tx, job_id)


async def test_a_queued_job_of_an_unknown_kind_keeps_the_cancel_for_a_runner_that_knows_it(database: Database) -> None:
    kind = f"of-another-process-{uuid4().hex}"
    job_id = await put(database, kind)
    async with database.sessions.begin() as tx:
        assert await jobs.cancel(tx, job_id)
    assert (await get(database, job_id)).status is JobStatus.QUEUED
    ran: list[str] = []

    async def never(job: Job) -> None:
        ran.append("ran")

    jobs.operation(kind, deadline=timedelta(minutes=1))(never)
    async with running(database):
        assert (await ended(database, job_id)).status is JobStatus.CANCELLED
    assert ran == []


async def test_cancelling_a_key_reaches_all_its_jobs(database: Database) -> None:
    kind, key = define(nothing), a_key()
    ids = [await put(database, kind, key=key) for _ in range(3)]
    async with database.sessions.begin() as tx:
        assert await jobs.cancel_key(tx, key) == 3
    assert {(await get(database, job_id)).status for job_id in ids} == {JobStatus.CANCELLED}


async def test_jobs_of_kinds_that_a_runner_does_not_know_are_left_to_others(database: Database) -> None:
    foreign = await put(database, f"of-a-newer-version-{uuid4().hex}")
    known = await put(database, define(nothing))
    async with running(database):
        await ended(database, known)
    assert (await get(database, foreign)).status is JobStatus.QUEUED


async def test_the_history_of_a_key_is_newest_first_and_paged(database: Database) -> None:
    kind, key, owner = define(nothing), a_key(), ("user", uuid4())
    ids = [await put(database, kind, key=key, owner=owner, label="JOB_TYPE_NOTHING") for _ in range(5)]
    await put(database, kind, key=key, label="ROUTINE")
    async with database.sessions() as session:
        page, total = await jobs.history(session, key, limit=2, offset=1, without=["ROUTINE"])
    assert total == 5
    assert [job.id for job in page] == [ids[3], ids[2]]
    assert (page[0].owner, page[0].label) == (owner, "JOB_TYPE_NOTHING")


async def test_the_active_job_of_a_key_is_found_while_it_runs(database: Database) -> None:
    found: list[Any] = []

    async def looks(job: Job) -> None:
        async with job.sessions() as session:
            found.append(await jobs.active(session, job.key))

    key = a_key()
    job = await execute(database, define(looks), key=key)
    assert [record.id for record in found] == [job.id]
    async with database.sessions() as session:
        assert await jobs.active(session, key) is None
