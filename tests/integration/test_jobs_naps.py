"""Waiting: the key stays taken, nothing else is held, and a wake is never lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from tests.integration.conftest import Database
from tests.integration.jobs_support import Log, a_key, define, ended, execute, get, put, running, steps, until

from ccx import jobs
from ccx.errors import Invalid, Transient
from ccx.jobs import Job, JobStatus, StepState

HOUR = timedelta(hours=1)


async def wake(database: Database, key: str) -> None:
    async with database.sessions.begin() as tx:
        await jobs.wake(tx, key)


def waiting(condition: Any, **options: Any) -> str:
    async def waits(job: Job) -> Any:
        return await job.nap_until("wait", condition, **{"every": HOUR, "within": 2 * HOUR, **options})

    return define(waits)


async def test_a_napping_job_holds_neither_lease_nor_place_but_its_key(database: Database) -> None:
    answer: dict[str, int] | None = None

    async def condition() -> Any:
        return answer

    async def nothing(job: Job) -> None:
        pass

    key = a_key()
    napping = await put(database, waiting(condition), key=key)
    behind, beside = await put(database, define(nothing), key=key), await put(database, define(nothing))
    async with running(database, concurrency=1):
        await ended(database, beside)
        job = await until(database, napping, lambda job: job.started_at is not None and job.runner is None)
        assert job.status is JobStatus.RUNNING
        assert (await get(database, behind)).status is JobStatus.QUEUED
        answer = {"address": 7}
        await wake(database, key)
        assert (await ended(database, napping)).result == {"address": 7}
        await ended(database, behind)


async def test_a_wake_that_comes_while_the_job_looks_is_not_lost(database: Database) -> None:
    key, looks = a_key(), 0

    async def condition() -> bool | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            # The answer comes after this look has missed it, and before the job has fallen asleep.
            await wake(database, key)
            return None
        return True

    job_id = await put(database, waiting(condition), key=key)
    async with running(database):
        await ended(database, job_id)
    assert looks == 2


async def test_a_job_naps_again_and_looks_every_so_often(database: Database) -> None:
    looks: list[float] = []

    async def condition() -> bool | None:
        looks.append(asyncio.get_running_loop().time())
        return True if len(looks) == 2 else None

    job_id = await put(database, waiting(condition, every=timedelta(seconds=2)))
    async with running(database, poll=60.0):
        await ended(database, job_id)
    assert 1.9 < looks[1] - looks[0] < 4


async def test_a_short_interval_is_waited_out_in_place_and_a_wake_cuts_it_short(database: Database) -> None:
    key, looks = a_key(), 0

    async def condition() -> bool | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            await wake(database, key)
        return True if looks == 3 else None

    job_id = await put(database, waiting(condition, every=timedelta(seconds=0.3)), key=key)
    async with running(database):
        job = await ended(database, job_id)
    assert (job.status, looks) == (JobStatus.DONE, 3)
    # One claim: it never let go.
    assert (await steps(database, job.id))["wait"].attempts == 1


async def test_a_wait_that_takes_too_long_fails_the_job(database: Database) -> None:
    async def condition() -> None:
        return None

    kind = waiting(condition, every=timedelta(seconds=0.05), within=timedelta(seconds=0.2))
    job = await execute(database, kind)
    assert job.error
    assert job.error["err"] == "waiting for 'wait' took longer than 0.2 seconds"
    assert (await steps(database, job.id))["wait"].state is StepState.FAILED


async def test_a_condition_may_miss_an_answer_but_not_fail(database: Database) -> None:
    log = Log()

    async def condition() -> None:
        log.append("look")
        raise Transient("no answer") if len(log) < 3 else Invalid("the node is broken")

    job = await execute(database, waiting(condition, every=timedelta(seconds=0.05)))
    assert job.error
    assert (job.error["err"], len(log)) == ("the node is broken", 3)


async def test_a_wait_that_got_no_answer_says_so_until_it_gets_one(database: Database) -> None:
    shown = []

    async def waits(job: Job) -> None:
        async def condition() -> bool | None:
            error = (await steps(database, job.id))["wait"].error
            shown.append(error["err"] if error else None)
            if len(shown) < 3:
                raise Transient("the node is away")
            return True if len(shown) > 3 else None

        await job.nap_until("wait", condition, every=timedelta(seconds=0.05), within=HOUR)

    job = await execute(database, define(waits))
    away = "the step 'wait' got no answer: the node is away"
    assert (job.status, shown) == (JobStatus.DONE, [None, away, away, None])


async def test_a_cancel_wakes_a_napping_job_at_once(database: Database) -> None:
    async def condition() -> None:
        return None

    for every in (HOUR, timedelta(seconds=1.5)):
        log = Log()

        async def waits(job: Job, log: Log = log, every: timedelta = every) -> None:
            await job.step("one", log.action("one"), undo=log.action("undo one"))
            await job.nap_until("wait", condition, every=every, within=HOUR)

        job_id = await put(database, define(waits))
        async with running(database, poll=60.0):
            await until(database, job_id, lambda job, log=log: "one" in log)
            async with database.sessions.begin() as tx:
                await jobs.cancel(tx, job_id)
            assert (await ended(database, job_id)).status is JobStatus.CANCELLED
        assert log == ["one", "undo one"]


async def test_a_nap_ends_at_the_deadline(database: Database) -> None:
    async def condition() -> None:
        return None

    job_id = await put(database, waiting(condition))
    async with running(database):
        job = await until(database, job_id, lambda job: job.started_at is not None and job.runner is None)
        assert job.deadline
        assert job.run_at == job.deadline
        async with database.sessions.begin() as tx:
            await tx.execute(text("update jobs.job set run_at = now(), deadline = now() where id = :i"), {"i": job_id})
        assert (await ended(database, job_id)).status is JobStatus.FAILED


async def test_naps_side_by_side_end_each_in_its_time(database: Database) -> None:
    key, ready = a_key(), set()

    async def waits(job: Job) -> Any:
        def condition(name: str) -> Any:
            async def look() -> str | None:
                return name if name in ready else None

            return look

        return await job.gather(
            *(job.nap_until(name, condition(name), every=HOUR, within=2 * HOUR) for name in ("a", "b"))
        )

    job_id = await put(database, define(waits), key=key)
    async with running(database):
        await until(database, job_id, lambda job: job.started_at is not None and job.runner is None)
        for name in ("b", "a"):
            ready.add(name)
            await wake(database, key)
        assert (await ended(database, job_id)).result == ["a", "b"]
