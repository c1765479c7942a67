"""Undo: backwards over all that was begun, until it succeeds; and none behind the pivot."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.integration.conftest import Database
from tests.integration.jobs_support import Log, a_key, define, ended, execute, get, put, running, steps, until

from ccx import jobs
from ccx.errors import Invalid
from ccx.jobs import Job, JobRecord, JobStatus, Step, StepState


async def test_a_failure_undoes_backwards_the_failed_step_included(database: Database) -> None:
    log = Log()

    async def builds(job: Job) -> None:
        await job.step("one", log.action("one"), undo=log.action("undo one"))
        await job.step("plain", log.action("plain"))
        await job.step("two", log.failing("two", Invalid("no")), undo=log.action("undo two"))
        await job.step("never", log.action("never"), undo=log.action("undo never"))

    job = await execute(database, define(builds))
    assert job.status is JobStatus.FAILED
    assert log == ["one", "plain", "two", "undo two", "undo one"]
    stored = await steps(database, job.id)
    assert {name: step.state for name, step in stored.items()} == {
        "one": StepState.UNDONE, "plain": StepState.DONE, "two": StepState.UNDONE,
        "undo: two": StepState.DONE, "undo: one": StepState.DONE,
    }  # fmt: skip


async def test_rows_written_by_a_transaction_step_are_taken_back_in_one(database: Database) -> None:
    async with database.sessions.begin() as tx:
        await tx.execute(text("create table reserved (name text primary key)"))

    async def reserves(job: Job) -> None:
        async def insert(tx: AsyncSession) -> None:
            await tx.execute(text("insert into reserved values ('n1')"))

        async def delete(tx: AsyncSession) -> None:
            await tx.execute(text("delete from reserved where name = 'n1'"))

        await job.transaction("reserve", insert, undo=delete)
        async with job.sessions() as session:
            assert await session.scalar(text("select count(*) from reserved")) == 1
        await job.step("fail", Log().failing("fail", Invalid("no")))

    job = await execute(database, define(reserves))
    assert job.status is JobStatus.FAILED
    assert (await steps(database, job.id))["reserve"].state is StepState.UNDONE
    async with database.sessions() as session:
        assert await session.scalar(text("select count(*) from reserved")) == 0


async def test_a_cancelled_job_ends_the_running_step_then_undoes_and_tells_its_handler(database: Database) -> None:
    log, inside, go_on = Log(), asyncio.Event(), asyncio.Event()
    told: list[Any] = []

    async def tell(tx: AsyncSession, job: JobRecord, error: dict[str, Any] | None) -> None:
        told.append((job.status, error and error["err"]))

    async def builds(job: Job) -> None:
        async def waits(step: Step) -> None:
            inside.set()
            await go_on.wait()
            log.append("one")

        await job.step("one", waits, undo=log.action("undo one"))
        await job.step("two", log.action("two"), undo=log.action("undo two"))

    job_id = await put(database, define(builds, on_failed=tell))
    async with running(database):
        await inside.wait()
        async with database.sessions.begin() as tx:
            assert await jobs.cancel(tx, job_id)
        go_on.set()
        job = await ended(database, job_id)
    assert job.status is JobStatus.CANCELLED
    assert log == ["one", "undo one"]
    assert told == [(JobStatus.CANCELLED, "the job was cancelled")]


async def test_a_step_that_reports_its_progress_ends_as_soon_as_its_job_is_cancelled(database: Database) -> None:
    log, inside = Log(), asyncio.Event()

    async def builds(job: Job) -> None:
        async def works_for_ever(step: Step) -> None:
            for done in count():
                await step.progress(done)
                inside.set()
                await asyncio.sleep(0.05)

        await job.step("one", works_for_ever, undo=log.action("undo one"))

    job_id = await put(database, define(builds))
    async with running(database):
        await inside.wait()
        async with database.sessions.begin() as tx:
            assert await jobs.cancel(tx, job_id)
        job = await ended(database, job_id)
    assert (job.status, log) == (JobStatus.CANCELLED, ["undo one"])


async def test_behind_the_pivot_progress_ends_nothing(database: Database) -> None:
    async def builds(job: Job) -> None:
        async def reports(step: Step) -> str:
            async with database.sessions.begin() as tx:
                await jobs.cancel(tx, job.id)
            await step.progress(1)
            return "whole"

        await job.pivot("no way back", reports)

    assert (await execute(database, define(builds))).status is JobStatus.DONE


async def test_a_job_that_fails_while_it_is_cancelled_counts_as_cancelled(database: Database) -> None:
    async def fails(job: Job) -> None:
        async def cancel_and_fail(step: Step) -> None:
            async with database.sessions.begin() as tx:
                await jobs.cancel(tx, job.id)
            raise Invalid("no")

        await job.step("fail", cancel_and_fail)

    assert (await execute(database, define(fails))).status is JobStatus.CANCELLED


async def test_a_late_job_is_undone_and_says_before_which_step(database: Database) -> None:
    log = Log()

    async def slow(job: Job) -> None:
        async def sleep(step: Step) -> None:
            await asyncio.sleep(0.3)

        await job.step("sleep", sleep, undo=log.action("undo"))
        await job.step("next", log.action("next"))

    job = await execute(database, define(slow, deadline=timedelta(seconds=0.2)))
    assert (job.status, log) == (JobStatus.FAILED, ["undo"])
    assert job.error
    assert job.error["err"] == "the job did not finish in time; it was stopped before the step 'next'"


async def test_a_failing_undo_is_retried_and_flagged_until_it_succeeds_and_keeps_its_key(database: Database) -> None:
    log, key = Log(), a_key()

    async def builds(job: Job) -> None:
        await job.step("one", log.action("one"), undo=log.failing("undo one", RuntimeError("stuck"), times=5))
        await job.step("fail", log.failing("fail", Invalid("no")))

    job_id = await put(database, define(builds), key=key)
    behind = await put(database, define(nothing), key=key)
    async with running(database):
        flagged = await until(database, job_id, lambda job: job.flagged is not None)
        assert (flagged.status, flagged.flagged) == (JobStatus.UNDOING, "the step 'undo: one' failed unexpectedly")
        assert await why(database, job_id, "undo: one") == flagged.flagged
        assert (await get(database, behind)).status is JobStatus.QUEUED
        async with database.sessions() as session:
            assert job_id in [job.id for job in await jobs.flagged(session)]
        async with database.sessions.begin() as tx:
            await tx.execute(text("update jobs.job set run_at = now() where id = :id"), {"id": job_id})
        job = await ended(database, job_id)
        await ended(database, behind)
    assert (job.status, job.flagged, log.count("undo one")) == (JobStatus.FAILED, None, 6)
    assert await why(database, job_id, "undo: one") is None
    assert job.error
    assert job.error["err"] == "no"


async def why(database: Database, job_id: UUID, step: str) -> str | None:
    """What the step's last try failed with, as it is shown."""
    error = (await steps(database, job_id))[step].error
    return error["err"] if error else None


async def nothing(job: Job) -> None:
    """An operation without steps."""


async def test_undo_finds_its_way_past_a_step_that_an_upgrade_put_in_between(database: Database) -> None:
    log, upgraded = Log(), False

    async def builds(job: Job) -> None:
        await job.step("one", log.action("one"), undo=log.action("undo one"))
        if upgraded:
            await job.step("inserted", log.action("inserted"), undo=log.action("undo inserted"))
        await job.step("two", log.action("two"), undo=log.action("undo two"))
        await job.nap_until("wait", never, every=timedelta(hours=1), within=timedelta(hours=2))

    job_id = await put(database, define(builds))
    async with running(database):
        await until(database, job_id, lambda job: job.runner is None and "two" in log)
    upgraded = True
    async with database.sessions.begin() as tx:
        await jobs.cancel(tx, job_id)
        # As if the old version had begun the undo.
        await tx.execute(text("update jobs.job set status = 'undoing' where id = :id"), {"id": job_id})
    async with running(database):
        assert (await ended(database, job_id)).status is JobStatus.CANCELLED
    assert log == ["one", "two", "undo two", "undo one"]


async def never() -> None:
    return None


async def test_a_step_that_an_upgrade_put_in_between_just_runs(database: Database) -> None:
    log, upgraded, key = Log(), False, a_key()

    async def builds(job: Job) -> None:
        await job.step("one", log.action("one"))
        if upgraded:
            await job.step("inserted", log.action("inserted"))
        await job.nap_until("wait", ready, every=timedelta(hours=1), within=timedelta(hours=2))

    async def ready() -> bool | None:
        return upgraded or None

    job_id = await put(database, define(builds), key=key)
    async with running(database):
        await until(database, job_id, lambda job: job.runner is None and "one" in log)
        upgraded = True
        async with database.sessions.begin() as tx:
            await jobs.wake(tx, key)
        assert (await ended(database, job_id)).status is JobStatus.DONE
    assert log == ["one", "inserted"]


async def test_a_job_whose_undo_the_code_has_forgotten_is_flagged_and_never_called_undone(database: Database) -> None:
    log, forgotten = Log(), False

    async def builds(job: Job) -> None:
        nonlocal forgotten
        if not forgotten:
            await job.step("one", log.action("one"), undo=log.action("undo one"))
        forgotten = True
        await job.step("fail", log.failing("fail", Invalid("no")))

    job_id = await put(database, define(builds))
    async with running(database):
        job = await until(database, job_id, lambda job: job.flagged is not None)
        assert (job.status, job.flagged) == (JobStatus.UNDOING, "this version doesn't know how to undo 'one'")
        forgotten = False
        job = await ended(database, job_id)
    assert job.status is JobStatus.FAILED
    assert log == ["one", "fail", "undo one"]


async def test_behind_the_pivot_neither_cancel_nor_deadline_nor_failure_undoes_anything(database: Database) -> None:
    log = Log()

    async def replaces(job: Job) -> None:
        async def retire(step: Step) -> None:
            log.append("retire")
            async with database.sessions.begin() as tx:
                await jobs.cancel(tx, job.id)
                await tx.execute(text("update jobs.job set deadline = now() where id = :id"), {"id": job.id})
            if log.count("retire") < 2:
                raise Invalid("not yet")

        await job.step("new", log.action("new"), undo=log.action("undo new"))
        await job.pivot("retire", retire)
        await job.step("tidy", log.failing("tidy", RuntimeError("odd"), times=1))
        await job.transaction("record", record)

    async def record(tx: AsyncSession) -> None:
        log.append("record")
        if log.count("record") < 2:
            raise Invalid("not yet")

    job = await execute(database, define(replaces))
    assert (job.status, job.pivoted, job.flagged, job.error) == (JobStatus.DONE, True, None, None)
    assert log == ["new", "retire", "retire", "tidy", "tidy", "record", "record"]


async def test_what_keeps_failing_behind_the_pivot_is_flagged_and_calm_again_once_it_succeeds(
    database: Database,
) -> None:
    log, key = Log(), a_key()

    async def deletes(job: Job) -> None:
        await job.pivot("delete", log.failing("delete", Invalid("the volume is attached"), times=5))
        await job.nap_until("rest", woken, every=timedelta(hours=1), within=timedelta(hours=2))

    async def woken() -> bool | None:
        log.append("look")
        return True if log.count("look") > 1 else None

    job_id = await put(database, define(deletes), key=key)
    async with running(database):
        job = await until(database, job_id, lambda job: job.flagged is not None)
        assert (job.status, job.flagged, job.retries) == (JobStatus.RUNNING, "the volume is attached", 5)
        assert await why(database, job_id, "delete") == "the volume is attached"
        async with database.sessions.begin() as tx:
            await tx.execute(text("update jobs.job set run_at = now() where id = :id"), {"id": job_id})
        job = await until(database, job_id, lambda job: job.flagged is None and job.runner is None)
        assert job.retries == 0
        assert await why(database, job_id, "delete") is None
        async with database.sessions.begin() as tx:
            await jobs.wake(tx, key)
        assert (await ended(database, job_id)).status is JobStatus.DONE


async def test_a_cancel_before_the_pivot_keeps_it_from_beginning(database: Database) -> None:
    log = Log()

    async def deletes(job: Job) -> None:
        async def cancel(step: Step) -> None:
            async with database.sessions.begin() as tx:
                await jobs.cancel(tx, job.id)

        await job.step("cancel", cancel, undo=log.action("undo"))
        await job.pivot("delete", log.action("delete"))

    assert (await execute(database, define(deletes))).status is JobStatus.CANCELLED
    assert log == ["undo"]


@pytest.mark.parametrize("fails", [False, True])
async def test_handlers_write_in_the_transaction_of_the_final_status(database: Database, fails: bool) -> None:
    seen: list[Any] = []

    def handler(name: str) -> Any:
        async def handle(tx: AsyncSession, job: JobRecord, error: dict[str, Any] | None) -> None:
            async with database.sessions() as outside:
                other = await jobs.get(outside, job.id)
            inside = await jobs.get(tx, job.id)
            assert other
            assert inside
            seen.append((name, other.status.is_final, inside.status, error and error["err"]))

        return handle

    async def ends(job: Job) -> None:
        if fails:
            raise Invalid("no")

    job = await execute(database, define(ends, on_failed=handler("failed"), on_done=handler("done")))
    assert seen == [("failed", False, JobStatus.FAILED, "no") if fails else ("done", False, JobStatus.DONE, None)]
    assert job.status.is_final


async def test_a_handler_that_fails_leaves_the_job_unfinished_and_is_called_again(database: Database) -> None:
    calls: list[str] = []

    async def stumbles(tx: AsyncSession, job: JobRecord, error: dict[str, Any] | None) -> None:
        calls.append("call")
        if len(calls) < 2:
            raise RuntimeError("odd")

    job = await execute(database, define(nothing, on_done=stumbles))
    assert (job.status, len(calls)) == (JobStatus.DONE, 2)


async def test_abandoning_a_key_ends_even_what_is_tried_for_ever_and_lets_the_next_job_in(database: Database) -> None:
    log, key = Log(), a_key()

    async def stuck(job: Job) -> None:
        await job.pivot("join", log.failing("join", Invalid("the new node is gone"), times=10_000))

    async def clear_away(job: Job) -> None:
        await job.step("clear away", log.action("clear away"))

    first = await put(database, define(stuck), key=key)
    async with running(database):
        await until(database, first, lambda job: job.retries > 0)
        async with database.sessions.begin() as tx:
            assert await jobs.cancel_key(tx, key, abandon=True) == 1
        assert (await ended(database, await put(database, define(clear_away), key=key))).status is JobStatus.DONE
    assert (await get(database, first)).status is JobStatus.CANCELLED
    assert log[-1] == "clear away"
