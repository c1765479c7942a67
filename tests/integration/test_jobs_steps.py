"""Steps: done once, remembered for ever, retried when that may help, and explained when it doesn't."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.integration.conftest import Database
from tests.integration.jobs_support import Log, a_key, define, ended, execute, get, put, running, steps, until

from ccx import jobs
from ccx.errors import Invalid, Transient
from ccx.jobs import Job, JobStatus, Step, StepFailed, StepState


@pytest.fixture(scope="module", autouse=True)
async def thing_table(database: Database) -> None:
    async with database.sessions.begin() as tx:
        await tx.execute(text("create table thing (name text primary key)"))


async def things(database: Database) -> set[str]:
    async with database.sessions() as session:
        return set((await session.execute(text("select name from thing"))).scalars())


async def test_a_done_step_returns_its_stored_result_when_the_job_is_taken_up_again(database: Database) -> None:
    log, results = Log(), []

    async def naps(job: Job) -> None:
        results.append(await job.step("make", log.action("make", {"id": (1, 2)})))
        await job.nap_until("sleep", log_twice, every=timedelta(seconds=2), within=timedelta(minutes=1))

    async def log_twice() -> bool | None:
        log.append("look")
        return True if log.count("look") > 1 else None

    key = a_key()
    job_id = await put(database, define(naps), key=key)
    async with running(database):
        await until(database, job_id, lambda job: "look" in log and job.runner is None)
        async with database.sessions.begin() as tx:
            await jobs.wake(tx, key)
        await ended(database, job_id)
    assert log == ["make", "look", "look"]
    # As JSON has it, also the first time: so the code can't come to depend on what a replay doesn't give it.
    assert results == [{"id": [1, 2]}, {"id": [1, 2]}]


async def test_a_step_is_stored_as_begun_while_its_action_runs(database: Database) -> None:
    seen: list[Any] = []

    async def looks(job: Job) -> None:
        async def look(step: Step) -> None:
            seen.append(((await steps(database, job.id))["look"], step.token))

        await job.step("look", look)

    job = await execute(database, define(looks))
    (stored, token), after = seen[0], (await steps(database, job.id))["look"]
    assert (stored.state, stored.finished, stored.token) == (StepState.BEGUN, None, token)
    assert (after.state, after.attempts) == (StepState.DONE, 1)
    assert after.finished


async def test_transient_errors_are_retried_and_counted(database: Database) -> None:
    log = Log()

    async def flaky(job: Job) -> None:
        await job.step("call", log.failing("call", Transient("no answer"), times=2))

    job = await execute(database, define(flaky))
    assert (job.status, len(log)) == (JobStatus.DONE, 3)
    assert (await steps(database, job.id))["call"].attempts == 3


async def test_a_step_that_is_tried_again_says_why_its_last_try_failed_until_it_is_done(database: Database) -> None:
    errors, shown = [Transient("the cloud is away"), TimeoutError(), None], []

    async def flaky(job: Job) -> None:
        async def call(step: Step) -> None:
            shown.append((await steps(database, job.id))["call"])
            if error := errors[step.attempt - 1]:
                raise error

        await job.step("call", call)

    job = await execute(database, define(flaky))
    assert {step.state for step in shown} == {StepState.BEGUN}
    assert [step.error and step.error["err"] for step in shown] == [
        None, "the step 'call' got no answer: the cloud is away", "the step 'call' did not finish in time",
    ]  # fmt: skip
    assert (await steps(database, job.id))["call"].error is None


async def test_a_transaction_that_is_tried_again_is_shown_with_the_reason_and_is_none_afterwards(
    database: Database,
) -> None:
    shown = []

    async def writes(job: Job) -> None:
        async def insert(tx: AsyncSession) -> str:
            await tx.execute(text("insert into thing values ('at last')"))
            shown.append((await steps(database, job.id)).get("insert"))
            if shown == [None]:
                raise Transient("the vault is away")
            return "written"

        await job.transaction("insert", insert)

    job = await execute(database, define(writes))
    (before, waiting), after = shown, (await steps(database, job.id))["insert"]
    assert before is None
    assert waiting is not None
    assert (waiting.state, waiting.finished) == (StepState.BEGUN, None)
    assert waiting.error == {
        "err": "the step 'insert' got no answer: the vault is away", "field": None, "step": "insert",
        "remedy": "Try again; the runner's log has the details",
    }  # fmt: skip
    assert (after.state, after.result, after.error) == (StepState.DONE, "written", None)
    assert "at last" in await things(database)


@pytest.mark.parametrize(
    ("error", "said", "tries"),
    [
        (Invalid("the size is unknown", field="instance_size", remedy="Choose another"), "the size is unknown", 1),
        (RuntimeError("password=hunter2"), "the step 'call' failed unexpectedly", 1),
        (Transient("the cloud is away"), "the step 'call' got no answer: the cloud is away", 1),
    ],
)
async def test_a_failed_step_fails_the_job_in_words_for_its_user(
    database: Database, error: Exception, said: str, tries: int
) -> None:
    log = Log()

    async def fails(job: Job) -> None:
        await job.step("call", log.failing("call", error), retry_for=0)

    job = await execute(database, define(fails))
    assert (job.status, len(log)) == (JobStatus.FAILED, tries)
    assert job.error
    assert (job.error["err"], job.error["step"], job.error["field"]) == (said, "call", getattr(error, "field", None))
    stored = (await steps(database, job.id))["call"]
    assert (stored.state, stored.error) == (StepState.FAILED, job.error)
    assert "hunter2" not in str(job)


async def test_a_step_that_hangs_is_stopped_at_its_timeout(database: Database) -> None:
    async def hangs(job: Job) -> None:
        async def hang(step: Step) -> None:
            await asyncio.Event().wait()

        await job.step("hang", hang, timeout=0.1, retry_for=0)

    job = await execute(database, define(hangs))
    assert job.error
    assert job.error["err"] == "the step 'hang' did not finish in time"


async def test_code_may_catch_a_failed_step_and_go_another_way_which_a_replay_repeats(database: Database) -> None:
    log = Log()

    async def falls_back(job: Job) -> str:
        try:
            await job.step("first zone", log.failing("first", Invalid("full")), undo=log.action("undo first"))
        except StepFailed as failed:
            log.append(f"caught {failed.err}")
            await job.step("second zone", log.action("second"), undo=log.action("undo second"))
        await job.step("break", log.failing("break", Invalid("broken")))
        return "unreachable"

    job = await execute(database, define(falls_back))
    assert job.status is JobStatus.FAILED
    assert log == ["first", "caught full", "second", "break", "caught full", "undo second", "undo first"]


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
async def test_a_result_that_is_not_json_fails_the_step(database: Database, value: Any) -> None:
    async def odd(job: Job) -> None:
        await job.step("odd", Log().action("odd", value))

    assert (await execute(database, define(odd))).status is JobStatus.FAILED


async def test_two_steps_of_one_name_fail_the_job(database: Database) -> None:
    log = Log()

    async def twice(job: Job) -> None:
        await job.step("same", log.action("one"), undo=log.action("undo"))
        await job.step("same", log.action("two"))

    assert (await execute(database, define(twice))).status is JobStatus.FAILED
    assert log == ["one", "undo"]


async def test_gathered_steps_run_side_by_side_and_all_end_before_the_first_error(database: Database) -> None:
    log, meeting = Log(), asyncio.Barrier(3)

    async def gathers(job: Job) -> None:
        def meets(name: str, error: Exception | None = None) -> Any:
            async def meet(step: Step) -> None:
                await asyncio.wait_for(meeting.wait(), 10)
                if error:
                    raise error
                log.append(name)

            return meet

        await job.gather(
            job.step("a", meets("a"), undo=log.action("undo a")),
            job.step("b", meets("b", Invalid("b is broken")), undo=log.action("undo b")),
            job.step("c", meets("c"), undo=log.action("undo c")),
        )

    job = await execute(database, define(gathers))
    assert job.error
    assert job.error["err"] == "b is broken"
    assert sorted(log[:2]) == ["a", "c"]
    assert log[2:] == ["undo c", "undo b", "undo a"]


async def test_gather_returns_results_in_order_and_takes_coroutines_of_several_steps(database: Database) -> None:
    async def gathers(job: Job) -> Any:
        async def pair(name: str) -> Any:
            return [await job.step(f"{name}{n}", Log().action("", f"{name}{n}")) for n in (1, 2)]

        return await job.gather(pair("x"), pair("y"))

    job = await execute(database, define(gathers))
    assert job.result == [["x1", "x2"], ["y1", "y2"]]


async def test_a_transaction_step_commits_rows_and_result_together(database: Database) -> None:
    async def writes(job: Job) -> Any:
        async def insert(tx: AsyncSession) -> str:
            await tx.execute(text("insert into thing values ('kept')"))
            return "written"

        return await job.transaction("insert", insert)

    job = await execute(database, define(writes))
    assert job.result == "written"
    assert "kept" in await things(database)
    assert (await steps(database, job.id))["insert"].state is StepState.DONE


async def test_a_failed_transaction_leaves_no_rows_and_owes_no_undo(database: Database) -> None:
    log = Log()

    async def writes(job: Job) -> None:
        async def insert(tx: AsyncSession) -> None:
            await tx.execute(text("insert into thing values ('rolled back')"))
            raise Invalid("no")

        async def undo(tx: AsyncSession) -> None:
            log.append("undo")

        await job.transaction("insert", insert, undo=undo)

    job = await execute(database, define(writes))
    assert job.error == {"err": "no", "field": None, "remedy": None, "step": "insert"}
    assert "rolled back" not in await things(database)
    assert log == []


async def test_progress_is_stored_and_moves_the_deadline_and_the_timeout(database: Database) -> None:
    deadlines = []

    async def copies(job: Job) -> None:
        async def copy(step: Step) -> None:
            for done in range(1, 9):
                await step.progress(done * 10, 80, "bytes", "copying")
                deadlines.append((await get(database, job.id)).deadline)
                await asyncio.sleep(0.2)

        # Eight times 0.2 s, with a limit of 1 s: only progress lets it end.
        await job.step("copy", copy, timeout=1.0, retry_for=0)

    job = await execute(database, define(copies, deadline=timedelta(seconds=30)))
    assert job.status is JobStatus.DONE
    progress = (await steps(database, job.id))["copy"].progress
    assert progress
    assert {k: progress[k] for k in ("done", "total", "unit", "note")} == {
        "done": 80, "total": 80, "unit": "bytes", "note": "copying",
    }  # fmt: skip
    assert deadlines[-1] > deadlines[0]
    # At most once a second, plus the last one.
    assert len(set(deadlines)) <= 3


async def test_progress_that_does_not_advance_moves_nothing(database: Database) -> None:
    async def stuck(job: Job) -> None:
        async def spin(step: Step) -> None:
            while True:
                await step.progress(1)
                await asyncio.sleep(0.02)

        await job.step("spin", spin, timeout=0.4, retry_for=0)

    job = await execute(database, define(stuck))
    assert job.error
    assert job.error["err"] == "the step 'spin' did not finish in time"


async def test_services_args_and_token_reach_the_operation(database: Database) -> None:
    seen: list[Any] = []

    async def looks(job: Job, colour: str) -> None:
        async def look(step: Step) -> None:
            seen.append((job.services, job.args, colour, job.token == step.token > 0, step.attempt))

        await job.step("look", look)

    services = object()
    job_id = await put(database, define(looks), args={"colour": "red"})
    async with running(database, services=services):
        await ended(database, job_id)
    assert seen == [(services, {"colour": "red"}, "red", True, 1)]


async def test_what_came_further_than_ever_before_it_failed_is_tried_again_however_long_it_took(
    database: Database,
) -> None:
    """Two tries of half a second each, where a second try is granted for a fifth of a second only."""
    tries = 0

    async def copies(job: Job) -> None:
        async def copy(step: Step) -> None:
            nonlocal tries
            tries += 1
            for done in range(tries, tries + 10):
                await step.progress(done)
                await asyncio.sleep(0.05)
            if tries < 3:
                raise Transient("away")

        await job.step("copy", copy, retry_for=0.2)

    assert (await execute(database, define(copies))).status is JobStatus.DONE
    assert tries == 3


async def test_what_never_comes_further_is_given_up(database: Database) -> None:
    tries = 0

    async def copies(job: Job) -> None:
        async def copy(step: Step) -> None:
            nonlocal tries
            tries += 1
            await step.progress(10)
            raise Transient("away")

        await job.step("copy", copy, retry_for=0.2)

    job = await execute(database, define(copies))
    assert (job.status, job.error and job.error["err"]) == (JobStatus.FAILED, "the step 'copy' got no answer: away")
    assert tries > 1
