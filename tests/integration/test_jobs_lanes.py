"""Lanes: jobs of one key that share one never overlap, through race, crash and undo; others run beside each other."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.integration.conftest import Database
from tests.integration.jobs_support import a_key, define, ended, get, put, running, until

from ccx import jobs
from ccx.db import make_engine
from ccx.jobs import Job, JobStatus, Lane, Runner, Step


class Gate:
    """Operations, one for each lane, that stay in their step until they are let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.begun: list[UUID] = []
        self.over: list[UUID] = []
        self.kinds = {lane: define(self._stays, lane=lane) for lane in Lane}

    async def _stays(self, job: Job) -> None:
        async def stay(step: Step) -> None:
            self.begun.append(job.id)
            await self.open.wait()
            self.over.append(job.id)

        await job.step("stay", stay)

    def one_after_the_other(self, first: UUID, second: UUID) -> bool:
        """Once the gate is open. By what they did: a claim's time is that of its asking, which may be earlier."""
        return self.begun.index(first) < self.begun.index(second) and self.over.index(first) < self.over.index(second)

    async def put(self, database: Database, key: str, lane: Lane) -> UUID:
        return await put(database, self.kinds[lane], key=key)


def is_running(job: jobs.JobRecord) -> bool:
    return job.status is JobStatus.RUNNING


async def test_what_takes_the_side_lane_runs_beside_what_changes_the_subject(database: Database) -> None:
    gate, key = Gate(), a_key()
    side = await gate.put(database, key, Lane.SIDE)
    async with running(database):
        await until(database, side, is_running)
        main = await gate.put(database, key, Lane.MAIN)
        await until(database, main, is_running)
        async with database.sessions() as tx:
            in_main, in_side = await jobs.active(tx, key), await jobs.active(tx, key, Lane.SIDE)
        assert (in_main and in_main.id, in_side and in_side.id) == (main, side)
        gate.open.set()
        for job_id in (side, main):
            assert (await ended(database, job_id)).status is JobStatus.DONE


@pytest.mark.parametrize(
    ("first", "second"),
    [(Lane.SIDE, Lane.SIDE), (Lane.SIDE, Lane.BOTH), (Lane.MAIN, Lane.BOTH), (Lane.BOTH, Lane.SIDE)],
)
async def test_what_shares_a_lane_waits_for_its_turn(database: Database, first: Lane, second: Lane) -> None:
    gate, key = Gate(), a_key()
    one = await gate.put(database, key, first)
    async with running(database):
        await until(database, one, is_running)
        two = await gate.put(database, key, second)
        unrelated = await gate.put(database, a_key(), second)
        await until(database, unrelated, is_running)  # so the runner has looked since
        assert (await get(database, two)).status is JobStatus.QUEUED
        gate.open.set()
        assert (await ended(database, two)).status is JobStatus.DONE
    assert gate.one_after_the_other(one, two)


async def test_what_waits_for_both_lanes_is_not_overtaken_for_ever(database: Database) -> None:
    gate, key = Gate(), a_key()
    one = await gate.put(database, key, Lane.SIDE)
    async with running(database):
        await until(database, one, is_running)
        both = await gate.put(database, key, Lane.BOTH)
        later = await gate.put(database, key, Lane.MAIN)
        unrelated = await gate.put(database, a_key(), Lane.MAIN)
        await until(database, unrelated, is_running)
        assert (await get(database, later)).status is JobStatus.QUEUED
        gate.open.set()
        await ended(database, later)
    assert gate.one_after_the_other(both, later)


async def test_claims_that_race_for_lanes_never_hold_the_same_one(database: Database) -> None:
    """The index decides, whatever each of two claims has seen."""
    gate, key = Gate(), a_key()
    ids = [await gate.put(database, key, lane) for lane in (Lane.BOTH, Lane.SIDE)]
    claim = text("update jobs.job set status = 'running', lane = :lane where id = :id")
    async with database.sessions() as tx:
        await tx.execute(claim, {"id": ids[0], "lane": Lane.BOTH.value})
        with pytest.raises(IntegrityError, match="uq_job_key_side"):
            await tx.execute(claim, {"id": ids[1], "lane": Lane.SIDE.value})
    async with database.sessions.begin() as tx:
        await jobs.cancel_key(tx, key)


async def test_a_crowd_in_all_lanes_of_one_key_never_breaks_the_rule(database: Database) -> None:
    key, inside, clashes = a_key(), set[Lane](), list[set[Lane]]()

    def operation(lane: Lane) -> str:
        async def works(job: Job) -> None:
            async def work(step: Step) -> None:
                if lane in inside or (inside and Lane.BOTH in {lane, *inside}):
                    clashes.append({lane, *inside})
                inside.add(lane)
                await asyncio.sleep(0.01)
                inside.discard(lane)

            await job.step("work", work)

        return define(works, lane=lane)

    kinds = [operation(lane) for lane in Lane]
    ids = [await put(database, kinds[n % 3], key=key) for n in range(30)]
    other = make_engine(database.dsn)
    second = Runner(other, lease=4.0, heartbeat=0.5, poll=0.05)
    beside = asyncio.create_task(second.run())
    try:
        async with running(database, poll=0.05):
            for job_id in ids:
                assert (await ended(database, job_id)).status is JobStatus.DONE
    finally:
        second.stop()
        await beside
        await other.dispose()
    assert clashes == []
