"""Runs many meddled jobs side by side, and checks each of them for itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tests.integration.saga.cases import Case, Check, Saga, new_saga
from tests.integration.saga.installation import SagaInstallation
from tests.integration.saga.meddle import Meddler, Plan, StepSeen, job_name
from tests.integration.saga.nursery import Nursery

from ccx import jobs
from ccx.jobs import JobRecord, JobStatus, Runner

PATIENCE_SECONDS = 240
LEASE_SECONDS = 15.0
SHORT_LEASE_SECONDS = 3.0
SIDE_BY_SIDE = 6


@dataclass(frozen=True)
class Ran:
    """How a meddled job went."""

    saga: Saga
    plan: Plan
    job: JobRecord


class Suite:
    """``meddler`` is of this process; runners that are killed have their own, with the same marks."""

    def __init__(self, installation: SagaInstallation, nursery: Nursery) -> None:
        self.installation = installation
        self._nursery = nursery
        self._lives = 0
        self._steps: dict[str, list[StepSeen]] = {}
        self.meddler = Meddler(Path(installation.made.directory))

    async def steps(self, case: Case) -> list[StepSeen]:
        """The operation's steps, in order, from a run that nobody meddles with (and that must succeed)."""
        if case.name not in self._steps:
            (ran,) = await self.run(case, [Plan()])
            assert ran.job.status is JobStatus.DONE, ran.job.error
            await case.check_done(ran.saga)
            self._steps[case.name] = self.meddler.seen[self._who(case, ran.saga)]
        return self._steps[case.name]

    async def run(self, case: Case, plans: Sequence[Plan], *, meanwhile: Check | None = None) -> list[Ran]:
        """Each plan on a datastore of its own, some side by side, in a runner of this process.

        ``meanwhile`` is called for each datastore when it is prepared, before its job is queued.
        """
        ran: list[Ran] = []
        async with self._runner():
            for some in _batches(plans):
                sagas = await self._prepare(case, len(some))
                if meanwhile is not None:
                    for saga in sagas:
                        await meanwhile(saga)
                ran += await self._finish(await self._enqueue(case, sagas, some))
        return ran

    async def run_and_kill(self, case: Case, plans: Sequence[Plan], *, by_lease: bool = False) -> list[Ran]:
        """The same, in runners that die as the plans want, one after another, until all jobs have ended.

        A dead runner's jobs are freed at once, as a supervisor does; or, ``by_lease``, when its lease has run out.
        """
        return [ran for some in _batches(plans) for ran in await self._kill_some(case, some, by_lease)]

    async def _kill_some(self, case: Case, plans: Sequence[Plan], by_lease: bool) -> list[Ran]:
        async with self._runner():
            sagas = await self._prepare(case, len(plans))
        queued = await self._enqueue(case, sagas, plans)
        finished = asyncio.create_task(self._finish(queued))
        try:
            while not finished.done():
                self._lives += 1
                name = f"victim-{self._lives}"
                await self._one_life(name, SHORT_LEASE_SECONDS if by_lease else LEASE_SECONDS, finished)
                if not by_lease:
                    async with self.installation.services.sessions.begin() as tx:
                        await jobs.release(tx, name)
        finally:
            if not finished.done():
                finished.cancel()
        runs = await finished
        survived = [p.title for s, p, _ in queued if p.kill_at and not self.meddler.killed(self._who(case, s))]
        assert not survived, f"nothing died where it should: {survived}"
        return runs

    async def _one_life(self, name: str, lease: float, finished: asyncio.Task[list[Ran]]) -> None:
        """One runner, from its birth to its death by its own meddler, or by us when nothing is left to do."""
        async with self._nursery.runner(name, lease, self.installation.made, self.meddler.plans) as life:
            await asyncio.wait({life.death, finished}, return_when=asyncio.FIRST_COMPLETED)
        code = life.death.result()
        assert code == -signal.SIGKILL, f"runner {name} ended by itself with {code}"

    @asynccontextmanager
    async def _runner(self) -> AsyncIterator[None]:
        restore = self.meddler.install()
        runner = Runner(self.installation.engine, self.installation.services, lease=60, heartbeat=2, poll=0.2)
        running = asyncio.create_task(runner.run())
        try:
            yield
        finally:
            runner.stop()
            await running
            restore()

    async def _prepare(self, case: Case, count: int) -> list[Saga]:
        sagas = [await new_saga(self.installation, case.size) for _ in range(count)]
        if case.made_first:
            made = [await self._queue("create_datastore", saga) for saga in sagas]
            for job_id in made:
                job = await self._final(job_id)
                assert job.status == "done", job.error
        await asyncio.gather(*(case.prepare(saga) for saga in sagas))
        return sagas

    async def _enqueue(self, case: Case, sagas: list[Saga], plans: Sequence[Plan]) -> list[tuple[Saga, Plan, UUID]]:
        for saga, plan in zip(sagas, plans, strict=True):
            self.meddler.plans[self._who(case, saga)] = plan
        return [(s, p, await self._queue(case.kind, s)) for s, p in zip(sagas, plans, strict=True)]

    async def _queue(self, kind: str, saga: Saga) -> UUID:
        async with self.installation.services.sessions.begin() as tx:
            return await jobs.enqueue(tx, kind, key=str(saga.datastore_id), args=saga.args)

    async def _finish(self, queued: list[tuple[Saga, Plan, UUID]]) -> list[Ran]:
        return [Ran(saga, plan, await self._final(job_id)) for saga, plan, job_id in queued]

    async def _final(self, job_id: UUID) -> JobRecord:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                async with self.installation.services.sessions() as tx:
                    job = await jobs.get(tx, job_id)
                assert job is not None
                if job.status.is_final:
                    return job
                await asyncio.sleep(0.05)

    def _who(self, case: Case, saga: Saga) -> str:
        return job_name(case.kind, str(saga.datastore_id))


def _batches(plans: Sequence[Plan]) -> Iterator[Sequence[Plan]]:
    """Few enough at once that none of them waits long for the others."""
    return (plans[i : i + SIDE_BY_SIDE] for i in range(0, len(plans), SIDE_BY_SIDE))
