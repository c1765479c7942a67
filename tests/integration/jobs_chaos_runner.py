"""A runner in a process of its own, for the chaos test to kill."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.synchronize import Event
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.db import SessionFactory, make_engine, make_session_factory
from ccx.errors import Invalid
from ccx.jobs import Job, Runner, Step
from ccx.jobs.pulse import leave

LEASE_S = 1.0

TABLES = (
    # What the world is made of: each step makes one thing of it, and its undo takes that away.
    "create table chaos_thing (job uuid, step text, primary key (job, step))",
    "create table chaos_trace (id bigserial primary key, at timestamptz default clock_timestamp(), key text, job uuid,"
    " token bigint, runner text, step text, what text)",
    # As the agent on a node does: it remembers the last token, and refuses lower ones.
    "create table chaos_gate (key text primary key, token bigint)",
    "create table chaos_done (job uuid, step text, token bigint)",
    "create function chaos_note_done() returns trigger language plpgsql as $$ begin"
    " if new.state = 'done' then"
    "   insert into chaos_done values (new.job_id, new.name, new.token);"
    " end if; return null; end $$",
    "create trigger chaos_note_done after insert or update on jobs.step"
    " for each row execute function chaos_note_done()",
)


class Refused(Exception):
    """The world has heard of a later claim of this key."""


class World:
    """Side effects that check the token, and leave a trace."""

    def __init__(self, sessions: SessionFactory, runner: str) -> None:
        self._sessions = sessions
        self._runner = runner

    async def act(self, job: Job, step: str, what: str, statement: str) -> None:
        async with self._sessions.begin() as tx:
            await self.act_in(tx, job, step, what, statement)

    async def act_in(self, tx: AsyncSession, job: Job, step: str, what: str, statement: str) -> None:
        values = {"key": job.key, "job": job.id, "token": job.token, "runner": self._runner, "step": step, "what": what}
        passed = await tx.execute(
            text(
                "insert into chaos_gate values (:key, :token)"
                " on conflict (key) do update set token = excluded.token where chaos_gate.token <= excluded.token"
                " returning token"
            ),
            values,
        )
        if passed.first() is None:
            raise Refused
        await tx.execute(text(statement), values)
        await tx.execute(
            text(
                "insert into chaos_trace (key, job, token, runner, step, what)"
                " values (:key, :job, :token, :runner, :step, :what)"
            ),
            values,
        )


MAKE = "insert into chaos_thing values (:job, :step) on conflict do nothing"
UNMAKE = "delete from chaos_thing where job = :job and step = :step"


@jobs.operation("chaos", deadline=timedelta(minutes=5))
async def chaos(job: Job, seed: int, fails: bool) -> None:
    """Steps of every sort, in an order and of a length that the seed decides."""
    world: World = job.services
    dice = random.Random(seed)

    def make(name: str) -> dict[str, Any]:
        pause = dice.uniform(0.005, 0.06)

        async def action(step: Step) -> str:
            await world.act(job, name, "make", MAKE)
            await asyncio.sleep(pause)
            return name

        async def undo(step: Step) -> None:
            await world.act(job, name, "unmake", UNMAKE)
            await asyncio.sleep(pause)

        return {"name": name, "action": action, "undo": undo}

    def make_in(name: str) -> dict[str, Any]:
        async def body(tx: AsyncSession) -> None:
            await world.act_in(tx, job, name, "make", MAKE)

        async def undo(tx: AsyncSession) -> None:
            await world.act_in(tx, job, name, "unmake", UNMAKE)

        return {"name": name, "body": body, "undo": undo}

    looks = 0

    async def second_look() -> bool | None:
        nonlocal looks
        looks += 1
        return True if looks > 1 else None

    for part in range(dice.randint(2, 4)):
        await job.step(**make(f"step {part}"))
        await job.transaction(**make_in(f"rows {part}"))
        if dice.random() < 0.5:
            await job.gather(*(job.step(**make(f"side {part}.{n}")) for n in range(3)))
        await job.nap_until(f"wait {part}", second_look, every=timedelta(seconds=0.02), within=timedelta(minutes=1))
    if fails:
        raise Invalid("it fails in the end")


def main(dsn: str, name: str, ready: Event, leaves: bool) -> None:
    """Run until killed.

    Args:
        leaves: exits when it was frozen, as it should. One that doesn't has only its tokens to keep it from doing harm.
    """
    # A terminal's Ctrl-C is the test's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(_run(dsn, name, ready, leave if leaves else lambda: None))


async def _run(dsn: str, name: str, ready: Event, on_frozen: Callable[[], None]) -> None:
    engine = make_engine(dsn)
    world = World(make_session_factory(engine), name)
    runner = Runner(
        engine, world, name=name, lease=LEASE_S, heartbeat=0.2, poll=0.2, concurrency=5, on_frozen=on_frozen
    )
    ready.set()
    await runner.run()
