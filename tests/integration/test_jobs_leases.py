"""Runners that die, freeze, stop, or lose the database: jobs go on elsewhere, and nobody writes what isn't theirs."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.integration.conftest import Database
from tests.integration.jobs_support import Log, a_key, define, ended, execute, get, put, running, steps

from ccx import jobs
from ccx.jobs import Job, JobStatus, Runner, Step, StepState


async def as_if_held_by(database: Database, job_id: Any, runner: str, *, expired: bool) -> None:
    """The job as a runner that is gone left it."""
    async with database.sessions.begin() as tx:
        await tx.execute(
            text(
                "update jobs.job set status = 'running', runner = :runner, token = nextval('jobs.token'), attempt = 1,"
                " started_at = now(), lease_until = now() + cast(:left as interval) where id = :id"
            ),
            {"id": job_id, "runner": runner, "left": timedelta(seconds=-1 if expired else 3600)},
        )


async def nothing(job: Job) -> None:
    """An operation without steps."""


async def test_an_expired_lease_is_taken_over_once_the_judge_was_there_for_a_lease(
    database: Database,
) -> None:
    job_id = await put(database, define(nothing))
    await as_if_held_by(database, job_id, "dead", expired=True)
    began = time.monotonic()
    async with running(database, lease=2.0, heartbeat=0.3):
        job = await ended(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.DONE, 2)
    assert time.monotonic() - began > 2.0


async def test_a_supervisor_frees_a_dead_runners_leases_at_once(database: Database) -> None:
    job_id = await put(database, define(nothing))
    await as_if_held_by(database, job_id, "dead", expired=False)
    async with running(database, lease=3600.0, poll=60.0):
        async with database.sessions.begin() as tx:
            assert await jobs.release(tx, "somebody else") == 0
            assert await jobs.release(tx, "dead") == 1
        await ended(database, job_id)


async def test_a_lease_that_is_kept_alive_is_never_taken_over(database: Database) -> None:
    log = Log()

    async def long(job: Job) -> None:
        async def sleep(step: Step) -> None:
            log.append("begin")
            await asyncio.sleep(3)

        await job.step("sleep", sleep)

    job_id = await put(database, define(long))
    async with running(database, lease=1.0, heartbeat=0.2), running(database, lease=1.0, heartbeat=0.2):
        await ended(database, job_id)
    assert log == ["begin"]


async def test_a_runner_that_lost_its_job_stops_and_writes_nothing(database: Database) -> None:
    log, inside, go_on, key = Log(), asyncio.Event(), asyncio.Event(), a_key()

    async def two(job: Job) -> None:
        async def wait(step: Step) -> None:
            log.append(f"one {step.attempt}")
            inside.set()
            await go_on.wait()

        await job.step("one", wait)
        log.append("between")
        await job.step("two", log.action("two"))

    job_id = await put(database, define(two), key=key)
    # No heartbeat within the test: the loss must be found by the write.
    async with running(database, lease=3600.0, heartbeat=1000.0):
        await inside.wait()
        await as_if_held_by(database, job_id, "another", expired=False)
        go_on.set()
        later = await put(database, define(nothing))
        await ended(database, later)
        stored = await steps(database, job_id)
        assert stored["one"].state is StepState.BEGUN
        assert set(stored) == {"one"}
        assert (await get(database, job_id)).runner == "another"
    assert log == ["one 1"]
    assert (await get(database, job_id)).runner == "another"


async def test_a_heartbeat_that_finds_the_job_lost_stops_its_running_step(database: Database) -> None:
    inside, stopped = asyncio.Event(), asyncio.Event()

    async def hangs(job: Job) -> None:
        async def hang(step: Step) -> None:
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        await job.step("hang", hang)

    job_id = await put(database, define(hangs))
    async with running(database, lease=5.0, heartbeat=0.1):
        await inside.wait()
        await as_if_held_by(database, job_id, "another", expired=False)
        await asyncio.wait_for(stopped.wait(), 5)


async def test_a_runner_that_stops_releases_its_leases_and_another_goes_on_at_once(database: Database) -> None:
    log, inside = Log(), asyncio.Event()

    async def two(job: Job) -> None:
        async def wait(step: Step) -> None:
            inside.set()
            log.append(f"two {step.attempt}")
            if step.attempt == 1:
                await asyncio.Event().wait()

        await job.step("one", log.action("one"))
        await job.step("two", wait)

    job_id = await put(database, define(two))
    async with running(database, lease=3600.0):
        await inside.wait()
    job = await get(database, job_id)
    assert (job.status, job.runner) == (JobStatus.RUNNING, None)
    async with running(database, lease=3600.0):
        again = await ended(database, job_id)
    assert log == ["one", "two 1", "two 2"]
    assert again.token is not None
    assert job.token is not None
    assert again.token > job.token


async def test_tokens_grow_across_jobs(database: Database) -> None:
    kind = define(nothing)
    tokens = [(await execute(database, kind)).token for _ in range(3)]
    assert tokens == sorted(set(tokens))


async def test_a_cancelled_runner_task_shuts_down_as_cleanly_as_a_stopped_one(database: Database) -> None:
    inside = asyncio.Event()

    async def hangs(job: Job) -> None:
        async def hang(step: Step) -> None:
            inside.set()
            await asyncio.Event().wait()

        await job.step("hang", hang)

    job_id = await put(database, define(hangs))
    task = asyncio.create_task(Runner(database.engine, lease=3600.0).run())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await get(database, job_id)).runner is None


async def test_a_long_transaction_of_one_job_does_not_stop_the_heartbeats_of_others(database: Database) -> None:
    log, locked = Log(), asyncio.Event()

    async def locks(job: Job) -> None:
        async def hold(tx: Any) -> None:
            locked.set()
            await asyncio.sleep(2.5)

        await job.transaction("hold", hold)

    async def sleeps(job: Job) -> None:
        async def sleep(step: Step) -> None:
            log.append("begin")
            await asyncio.sleep(2.5)

        await job.step("sleep", sleep)

    locking, sleeping = await put(database, define(locks)), await put(database, define(sleeps))
    async with running(database, lease=1.0, heartbeat=0.2), running(database, lease=1.0, heartbeat=0.2):
        await locked.wait()
        await ended(database, sleeping)
        await ended(database, locking)
    assert log == ["begin"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_restart_of_the_database_leaves_every_job_able_to_finish(
    database: Database, how: signal.Signals
) -> None:
    log = Log()

    async def works(job: Job, name: str) -> None:
        async def insert(tx: Any) -> None:
            await tx.execute(text("insert into survived values (:name)"), {"name": name})

        for n in range(20):
            await job.step(f"step {n}", log.action(name))
            async with job.sessions() as session:
                await session.scalar(text("select 1"))
            await job.transaction(f"insert {n}", insert)

    async with database.sessions.begin() as tx:
        await tx.execute(text("drop table if exists survived"))
        await tx.execute(text("create table survived (name text)"))
    ids = [await put(database, define(works), args={"name": f"job-{n}"}) for n in range(5)]
    async with running(database):
        while len(log) < 10:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(database.server.stop, how)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(database.server.start)
        await database.engine.dispose()
        for job_id in ids:
            assert (await ended(database, job_id)).status is JobStatus.DONE
    async with database.sessions() as session:
        rows = await session.execute(text("select name, count(*) from survived group by name"))
        assert {name: count for name, count in rows} == {f"job-{n}": 20 for n in range(5)}


async def test_an_outage_longer_than_the_lease_is_not_mistaken_for_everybodys_death(database: Database) -> None:
    log, inside, go_on = Log(), asyncio.Event(), asyncio.Event()

    async def waits(job: Job) -> None:
        async def wait(step: Step) -> None:
            log.append(f"try {step.attempt}")
            inside.set()
            await go_on.wait()

        await job.step("wait", wait)

    job_id = await put(database, define(waits))
    async with running(database, lease=1.5, heartbeat=0.2), running(database, lease=1.5, heartbeat=0.2):
        await inside.wait()
        await asyncio.to_thread(database.server.stop)
        await asyncio.sleep(2.5)
        await asyncio.to_thread(database.server.start)
        await database.engine.dispose()
        # Longer than the lease: had somebody judged too soon, it would have happened by now.
        await asyncio.sleep(2.5)
        go_on.set()
        job = await ended(database, job_id)
    assert (job.attempt, log) == (1, ["try 1"])
