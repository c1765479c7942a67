"""What the job engine's tests share: operations of their own, and runners with short leases."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from tests.integration.conftest import Database

from ccx import jobs
from ccx.jobs import JobRecord, Runner, StepRecord

GIVE_UP_AFTER_S = 20.0


def define(function: Callable[..., Awaitable[Any]], **options: Any) -> str:
    """Register the function as an operation of its own, and return its kind."""
    kind = f"{function.__name__}-{uuid4().hex[:8]}"
    jobs.operation(kind, **{"deadline": timedelta(minutes=5), **options})(function)
    return kind


def a_key() -> str:
    return f"key-{uuid4().hex[:8]}"


async def put(database: Database, kind: str, *, key: str | None = None, **options: Any) -> UUID:
    """Enqueue in a transaction of its own."""
    async with database.sessions.begin() as tx:
        return await jobs.enqueue(tx, kind, key=key or a_key(), **options)


async def get(database: Database, job_id: UUID) -> JobRecord:
    async with database.sessions() as session:
        job = await jobs.get(session, job_id)
    assert job
    return job


async def steps(database: Database, job_id: UUID) -> dict[str, StepRecord]:
    async with database.sessions() as session:
        return {step.name: step for step in await jobs.steps(session, job_id)}


async def until(database: Database, job_id: UUID, condition: Callable[[JobRecord], bool]) -> JobRecord:
    """The job, as soon as it fulfils the condition."""
    give_up_at = time.monotonic() + GIVE_UP_AFTER_S
    while True:
        job = await get(database, job_id)
        if condition(job):
            return job
        assert time.monotonic() < give_up_at, f"waited too long for {job}"
        await asyncio.sleep(0.02)


async def ended(database: Database, job_id: UUID) -> JobRecord:
    """The job when it has ended, however it did."""
    return await until(database, job_id, lambda job: job.status.is_final)


@contextlib.asynccontextmanager
async def running(database: Database, **options: Any) -> AsyncIterator[Runner]:
    """A runner in this process."""
    runner = Runner(database.engine, **{"lease": 4.0, "heartbeat": 0.5, "poll": 0.2, **options})
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        runner.stop()
        await task


async def execute(database: Database, kind: str, *, key: str | None = None, **args: Any) -> JobRecord:
    """Enqueue, run to the end, and return how it ended."""
    job_id = await put(database, kind, key=key, args=args)
    async with running(database):
        return await ended(database, job_id)


class Log(list[str]):
    """What actions did, in the order of their doing."""

    def action(self, entry: str, result: Any = None) -> Callable[[jobs.Step], Awaitable[Any]]:
        async def act(step: jobs.Step) -> Any:
            self.append(entry)
            return result

        return act

    def failing(self, entry: str, error: Exception, times: int = 10**9) -> Callable[[jobs.Step], Awaitable[Any]]:
        """Fails that many times, then succeeds."""

        async def act(step: jobs.Step) -> Any:
            self.append(entry)
            if self.count(entry) <= times:
                raise error

        return act
