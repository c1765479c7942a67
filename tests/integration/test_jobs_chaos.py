"""Three runners that are killed and frozen at random, and jobs that don't mind."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import time
from dataclasses import dataclass, field
from itertools import groupby
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any
from uuid import UUID

from sqlalchemy import text
from tests.integration.conftest import Database
from tests.integration.jobs_chaos_runner import LEASE_S, TABLES, main

from ccx import jobs
from ccx.jobs import JobStatus

JOBS = 100
KEYS = 15
CANCELS = 10
ATTACKS = 30
GIVE_UP_AFTER_S = 150.0
FROZEN = 75
RUNNERS = 3
PROCESSES = multiprocessing.get_context("forkserver")


@dataclass
class Member:
    """A runner process under attack."""

    process: BaseProcess
    ready: Event
    frozen_until: float | None = None

    def send(self, what: signal.Signals) -> None:
        if self.process.pid and self.process.exitcode is None:
            os.kill(self.process.pid, what)


@dataclass
class Crowd:
    """Runner processes, and the supervisor that starts them again."""

    dsn: str
    dice: random.Random
    members: list[Member] = field(default_factory=list)
    attacks: int = 0
    kills: int = 0
    left_frozen: int = 0
    born: int = 0

    def tend(self) -> None:
        """Thaw what was frozen for long enough, and start what is missing."""
        for member in list(self.members):
            if member.frozen_until and time.monotonic() >= member.frozen_until:
                member.send(signal.SIGCONT)
                member.frozen_until = None
            code = member.process.exitcode
            if code is not None:
                assert code in (FROZEN, -signal.SIGKILL), f"{member.process.name} ended with {code}"
                self.left_frozen += code == FROZEN
                self.members.remove(member)
        while len(self.members) < RUNNERS:
            self.born += 1
            name, ready = f"runner-{self.born}", PROCESSES.Event()
            process = PROCESSES.Process(
                target=main, args=(self.dsn, name, ready, self.born % 2 == 0), name=name, daemon=True
            )
            process.start()
            self.members.append(Member(process, ready))

    def attack(self) -> None:
        targets = [member for member in self.members if member.ready.is_set() and not member.frozen_until]
        if not targets:
            return
        self.attacks += 1
        target = self.dice.choice(targets)
        if self.dice.random() < 0.3:
            target.send(signal.SIGKILL)
            self.kills += 1
        else:
            target.send(signal.SIGSTOP)
            target.frozen_until = time.monotonic() + self.dice.uniform(0.1, 2.5 * LEASE_S)

    def end(self) -> None:
        for member in self.members:
            member.send(signal.SIGKILL)
            member.process.join()


async def test_jobs_survive_killed_and_frozen_runners(database: Database) -> None:
    dice = random.Random(4)
    async with database.sessions.begin() as tx:
        for statement in TABLES:
            await tx.execute(text(statement))
        fails = {
            await jobs.enqueue(
                tx, "chaos", key=f"key-{n % KEYS}", args={"seed": n, "fails": n % 4 == 0}
            ): n % 4 == 0
            for n in range(JOBS)
        }  # fmt: skip
    # Forked from one that has imported everything: runners that take seconds to start can't be killed often.
    PROCESSES.set_forkserver_preload(["tests.integration.jobs_chaos_runner"])
    crowd = Crowd(database.dsn, dice)
    try:
        cancelled = await _trouble(database, crowd, list(fails))
    finally:
        crowd.end()
    assert crowd.kills > 0
    assert crowd.left_frozen > 0

    async with database.sessions() as session:
        statuses = {job_id: (await jobs.get(session, job_id)) for job_id in fails}
        for job_id, job in statuses.items():
            assert job
            allowed = {JobStatus.FAILED if fails[job_id] else JobStatus.DONE}
            assert job.status in allowed | ({JobStatus.CANCELLED} if job_id in cancelled else set()), job

        trace = (await session.execute(text("select * from chaos_trace order by id"))).mappings().all()
        things = {tuple(row) for row in await session.execute(text("select job, step from chaos_thing"))}
        twice = await session.execute(text("select job, step from chaos_done group by 1, 2 having count(*) > 1"))

    assert twice.all() == [], "a step was recorded twice"
    for key in {row["key"] for row in trace}:
        blocks = [job for job, _ in groupby(row["job"] for row in trace if row["key"] == key)]
        assert len(blocks) == len(set(blocks)), f"jobs of {key} overlap:\n{_told(trace, key)}"
    for job_id, job in statuses.items():
        assert job
        left = {step for owner, step in things if owner == job_id}
        made = {row["step"] for row in trace if row["job"] == job_id}
        wanted = made if job.status is JobStatus.DONE else set()
        assert left == wanted, f"{job.status} left {left - wanted}, lacks {wanted - left}:\n{_told(trace, job.key)}"


async def _trouble(database: Database, crowd: Crowd, job_ids: list[UUID]) -> set[UUID]:
    """Attack the runners for a while, cancelling some jobs, and return when all jobs have ended."""
    began = time.monotonic()
    waiting, cancelled = crowd.dice.sample(job_ids, CANCELS), set[UUID]()
    next_attack = began
    while True:
        now = time.monotonic()
        crowd.tend()
        if now >= next_attack and crowd.attacks < ATTACKS:
            crowd.attack()
            next_attack = now + crowd.dice.uniform(0.2, 0.7)
            if waiting:
                job_id = waiting.pop()
                try:
                    async with asyncio.timeout(LEASE_S), database.sessions.begin() as tx:
                        stopped = await jobs.cancel(tx, job_id)
                except TimeoutError:  # a frozen runner holds it, and who waits here thaws nobody
                    waiting.append(job_id)
                else:
                    cancelled |= {job_id} if stopped else set()
        async with database.sessions() as session:
            left = (await session.execute(text("select * from jobs.job where finished_at is null limit 3"))).mappings()
            unfinished = [dict(row) for row in left]
        if not unfinished:
            return cancelled
        assert now < began + GIVE_UP_AFTER_S, f"jobs have not ended: {unfinished}"
        await asyncio.sleep(0.05)


def _told(trace: Any, key: str) -> str:
    """The trace of a key: without the tokens a failure can't be explained."""
    return "\n".join(
        f"{row['at']:%H:%M:%S.%f} {row['job']} token {row['token']} {row['runner']}: {row['what']} {row['step']}"
        for row in trace
        if row["key"] == key
    )
