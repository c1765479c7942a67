"""Every operation, meddled with at every step: it ends as if nothing had happened, or leaves nothing behind.

The unmarked tests take a sample of the steps; those marked ``slow`` take all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from pkgutil import walk_packages
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from tests.integration.conftest import Database
from tests.integration.saga.cases import CASES, Case, Saga
from tests.integration.saga.installation import saga_installation
from tests.integration.saga.logs import log_plainly
from tests.integration.saga.meddle import MOMENTS, REASON, Plan, StepSeen
from tests.integration.saga.nursery import nursery
from tests.integration.saga.simulated import simulated_cloud
from tests.integration.saga.suite import Ran, Suite
from tests.seaweedfs import seaweedfs

import ccx.runner
from ccx.clouds.simulated.faults import Fault
from ccx.jobs import JobStatus, registry

T = TypeVar("T")

ALL = 1_000_000
SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]
HOW_MANY = [
    pytest.param(3, id="sample"),
    pytest.param(ALL, id="all", marks=SLOW),
]


def params(cases: Iterable[Case]) -> list[Any]:
    return [pytest.param(c, id=c.name, marks=SLOW if c.slow else []) for c in cases]


def test_every_job_that_a_control_plane_knows_has_a_case() -> None:
    for module in walk_packages(ccx.runner.__path__, "ccx.runner."):
        import_module(module.name)
    ours = {one.kind for one in registry.known() if one.function.__module__.startswith("ccx.")}
    assert ours == {case.kind for case in CASES.values()}


every_case = pytest.mark.parametrize("case", params(CASES.values()))


@pytest.fixture(scope="module")
async def suite(database: Database) -> AsyncIterator[Suite]:
    log_plainly()
    with TemporaryDirectory(prefix="ccx-saga-") as directory:
        async with (
            simulated_cloud(lease=0.2) as cloud,
            seaweedfs(Path(directory) / "store") as store,
            saga_installation(Path(directory), cloud.socket, database.dsn, store) as installation,
            nursery() as runners,
        ):
            yield Suite(installation, runners)


def sample(everything: Sequence[T], size: int) -> list[T]:
    """Evenly spread, the first and the last among them."""
    if size >= len(everything):
        return list(everything)
    return [everything[round(i * (len(everything) - 1) / (size - 1))] for i in range(size)]


async def judge(case: Case, runs: list[Ran], steps: list[StepSeen]) -> None:
    """Each job must have ended as its plan entails, and the datastore be as its case says. Reports all that are not."""
    wrong = []
    for ran in runs:
        failed = next((s for s in steps if s.name == ran.plan.fail_at), None)
        try:
            if failed is not None and failed.compensable:
                assert ran.job.status is JobStatus.FAILED
                assert ran.job.error is not None
                assert (ran.job.error["err"], ran.job.error["step"]) == (REASON, failed.name)
                assert case.check_undone is not None
                await case.check_undone(ran.saga)
            else:
                assert ran.job.status is JobStatus.DONE, ran.job.error
                await case.check_done(ran.saga)
        except AssertionError as error:
            wrong.append(f"{ran.plan.title}: {error}")
    assert not wrong, f"{len(wrong)} of {len(runs)}:\n" + "\n\n".join(wrong)


@every_case
@pytest.mark.parametrize("size", HOW_MANY)
async def test_a_failing_step_is_taken_back_whole_or_outlived_behind_the_pivot(
    suite: Suite, case: Case, size: int
) -> None:
    steps = await suite.steps(case)
    plans = [
        Plan(fail_at=step.name, fail_after_doing=late, fail_times=None if step.compensable else 2)
        for step, late in product(steps, (False, True))
    ]
    await judge(case, await suite.run(case, sample(plans, 2 * size)), steps)


@pytest.mark.parametrize("case", params(CASES[kind] for kind in ("create_datastore", "restore_datastore")))
async def test_nothing_can_fail_any_more_when_a_new_datastore_serves(suite: Suite, case: Case) -> None:
    """It would be taken back, with what its users have written by then."""
    steps = await suite.steps(case)
    assert steps[-1].name == "started"


@every_case
async def test_every_action_and_every_undo_may_run_twice(suite: Suite, case: Case) -> None:
    steps = await suite.steps(case)
    plans = [Plan(repeat_actions=True)]
    if compensable := [s for s in steps if s.compensable]:
        plans.append(Plan(repeat_actions=True, repeat_undos=True, fail_at=compensable[-1].name))
    await judge(case, await suite.run(case, plans), steps)


@every_case
async def test_lost_answers_double_nothing(suite: Suite, case: Case) -> None:
    async def lose_answers(saga: Saga) -> None:
        for call in ("create_volume", "create_server", "delete_*", "put_firewall", "power_off"):
            await suite.installation.control.add_fault(
                Fault(call=call, name=f"*-{saga.short_id}*", error="Unavailable", moment="after", times=2)
            )
        for verb in ("configure", "start", "join", "forget", "put", "backup-put"):
            await suite.installation.control.add_fault(
                Fault(call=f"verb:{verb}", name=f"*-{saga.short_id}*", error="NodeUnreachable", moment="after")
            )

    steps = await suite.steps(case)
    await judge(case, await suite.run(case, [Plan()], meanwhile=lose_answers), steps)


@every_case
@pytest.mark.parametrize("size", HOW_MANY)
async def test_a_job_whose_runner_is_killed_ends_as_if_nothing_had_happened(
    suite: Suite, case: Case, size: int
) -> None:
    steps = await suite.steps(case)
    plans = [Plan(kill_at=step.name, kill_moment=moment) for step, moment in product(steps, MOMENTS)]
    await judge(case, await suite.run_and_kill(case, sample(plans, size)), steps)


@pytest.mark.parametrize("case", params(c for c in CASES.values() if c.check_undone))
@pytest.mark.parametrize("size", HOW_MANY)
async def test_an_undo_whose_runner_is_killed_still_leaves_nothing(suite: Suite, case: Case, size: int) -> None:
    steps = await suite.steps(case)
    last = [s for s in steps if s.compensable][-1].name
    plans = [
        Plan(fail_at=last, kill_at=step.name, kill_undo=True, kill_moment=moment)
        for step, moment in product([s for s in steps if s.undoable], MOMENTS[:2])
    ]
    await judge(case, await suite.run_and_kill(case, sample(plans, size)), steps)


async def test_without_a_supervisor_the_lease_frees_a_dead_runners_job(suite: Suite) -> None:
    case = CASES["create_datastore"]
    steps = await suite.steps(case)
    plan = Plan(kill_at=next(s.name for s in steps if s.name.startswith("server")), kill_moment="in")
    await judge(case, await suite.run_and_kill(case, [plan], by_lease=True), steps)
