"""A runner: claims jobs, keeps its leases, and gets out of the way when it can't."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from ccx.db import make_session_factory
from ccx.jobs import registry, schedules, sql
from ccx.jobs.connections import Connections, notices, parameters
from ccx.jobs.execution import Execution
from ccx.jobs.failures import is_database_trouble
from ccx.jobs.ledger import Ledger
from ccx.jobs.pulse import Pulse, leave
from ccx.jobs.queue import CHANNEL
from ccx.jobs.records import JobRecord

logger = structlog.get_logger(__name__)

CLAIM_RACES_MAX = 5
STOP_TIMEOUT_S = 10.0


@dataclass
class _Held:
    """A job that this runner works on."""

    record: JobRecord
    woken: asyncio.Event
    task: asyncio.Task[None] | None = None


class Runner:
    """Runs the jobs of all operations that this process has imported.

    Args:
        engine: of the metadata database. The runner opens a handful of connections of its own beside its pool.
        services: handed to operations as ``job.services``.
        name: unique among living runners; a supervisor frees a dead one's leases by it. Made up if not given.
        lease: seconds for which a claim holds without a sign of life. A dead runner's jobs are taken over after it.
        heartbeat: seconds between two signs of life; less than half of ``lease``.
        concurrency: how many jobs to run at once. Napping jobs don't count.
        poll: seconds between two looks for work when nothing is notified.
        on_frozen: called when the process turns out to have stood still for longer than its lease; exits by default.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        services: Any = None,
        *,
        name: str | None = None,
        lease: float = 30.0,
        heartbeat: float = 6.0,
        concurrency: int = 20,
        poll: float = 2.0,
        on_frozen: Callable[[], None] = leave,
    ) -> None:
        if heartbeat * 2 > lease:
            raise ValueError("a runner's heartbeat must be less than half of its lease")
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._services = services
        self._sessions = make_session_factory(engine)
        self._lease = lease
        self._heartbeat = heartbeat
        self._concurrency = concurrency
        self._poll = poll
        self._pulse = Pulse(lease, on_frozen)
        # One more for heartbeats, so that they don't queue behind the steps' writes.
        self._parameters = parameters(engine)
        self._connections = Connections(self._parameters, size=4, on_trouble=self._pulse.disconnected)
        self._own_connection = Connections(self._parameters, size=1, on_trouble=self._pulse.disconnected)
        self._held: dict[UUID, _Held] = {}
        self._look = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let :meth:`run` end: steps are broken off, and all leases released at once."""
        self._stopping.set()
        self._look.set()

    async def run(self) -> None:
        """Run jobs until :meth:`stop` is called or the task is cancelled. Outlasts restarts of the database."""
        logger.info("runner started", runner=self.name, lease_s=self._lease)
        heartbeat = asyncio.create_task(self._keep_leases())
        others = [
            asyncio.create_task(helper)
            for helper in (
                self._stopping.wait(),
                self._pulse.beat(),
                self._listen(),
                self._tick_schedules(),
                self._claim_for_ever(),
            )
        ]
        try:
            # None of them ends by itself but the first: if one does, it is a defect, and this raises it.
            ended, _ = await asyncio.wait([heartbeat, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            self._stopping.set()
            await self._shut_down(heartbeat, others)

    async def _shut_down(self, heartbeat: asyncio.Task[Any], others: list[asyncio.Task[Any]]) -> None:
        jobs = {held.record.id: held.task for held in self._held.values() if held.task}
        for task in [*others, *jobs.values()]:
            task.cancel()
        # Heartbeats go on until the jobs' tasks have ended: until then nobody else may begin them.
        if jobs:
            await asyncio.wait(jobs.values(), timeout=STOP_TIMEOUT_S)
        heartbeat.cancel()
        await asyncio.gather(heartbeat, *others, return_exceptions=True)
        # A task that doesn't end keeps its lease, as it may still be working. It runs out when the process is gone.
        busy = [job_id for job_id, task in jobs.items() if not task.done()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                released = await self._own_connection.fetch(sql.RELEASE, {"runner": self.name, "busy": busy})
                logger.info("runner stopped", runner=self.name, released=len(released), busy=len(busy))
        await self._connections.close()
        await self._own_connection.close()

    async def _keep_leases(self) -> None:
        while True:
            held = list(self._held.values())
            lost = await self._own_connection.fetch(
                sql.HEARTBEAT,
                {
                    "ids": [h.record.id for h in held],
                    "tokens": [h.record.token for h in held],
                    "runner": self.name,
                    "lease": self._lease,
                },
            )
            self._pulse.answered()
            claims = {(row["id"], row["token"]) for row in lost}
            for job in held:
                # One that ended or fell asleep meanwhile has left `_held`; its task has nothing more to do.
                claim = (job.record.id, job.record.token)
                if claim in claims and self._held.get(job.record.id) is job and job.task:
                    logger.warning("lease lost", job=str(job.record.id), token=job.record.token)
                    job.task.cancel()
            await asyncio.sleep(self._heartbeat)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._connections.connect()
                async with connection:
                    await connection.execute(f"listen {CHANNEL}")
                    self._pulse.answered()
                    self._look.set()
                    async for key in notices(connection):
                        self._heard(key)
            except psycopg.OperationalError:
                pass
            self._pulse.disconnected()
            await asyncio.sleep(0.2)

    def _heard(self, key: str) -> None:
        self._look.set()
        for held in self._held.values():
            if held.record.key == key:
                held.woken.set()

    async def _tick_schedules(self) -> None:
        while True:
            try:
                await schedules.tick(self._sessions)
            except Exception as exc:
                if not is_database_trouble(exc):
                    logger.exception("schedules could not be looked at")
            await asyncio.sleep(schedules.EVERY_S)

    async def _claim_for_ever(self) -> None:
        while True:
            self._look.clear()
            claimed = await self._claim()
            if claimed and len(self._held) < self._concurrency:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._look.wait()

    async def _claim(self) -> int:
        slots = self._concurrency - len(self._held)
        operations = registry.known()
        if slots <= 0 or not operations:
            return 0
        values = {
            "kinds": [operation.kind for operation in operations],
            "lanes": [operation.lane for operation in operations],
            "deadlines": [operation.deadline.total_seconds() for operation in operations],
            "judge": self._pulse.may_judge(),
            "runner": self.name,
            "held": list(self._held),
            "slots": slots,
            "lease": self._lease,
        }
        for _ in range(CLAIM_RACES_MAX):
            self._pulse.check()
            try:
                rows = await self._connections.fetch(sql.CLAIM, values)
            except psycopg.errors.UniqueViolation:
                # Another runner won a key in this very moment. By now its claim is visible, and is left out.
                continue
            for row in rows:
                self._begin(JobRecord.of(row))
            return len(rows)
        return 0

    def _begin(self, record: JobRecord) -> None:
        logger.info(
            "job claimed", job=str(record.id), kind=record.kind, token=record.token, status=str(record.status),
            attempt=record.attempt, runner=self.name,
        )  # fmt: skip
        held = _Held(record, asyncio.Event())
        self._held[record.id] = held
        held.task = asyncio.create_task(self._run(held), name=f"job {record.id}")

    async def _run(self, held: _Held) -> None:
        operation = registry.find(held.record.kind)
        assert operation
        ledger = Ledger(held.record, self._connections, self._pulse, operation.deadline.total_seconds())
        execution = Execution(operation, ledger, self._services, self._sessions, held.woken)
        try:
            pause = await execution.run()
        finally:
            if not self._stopping.is_set():
                self._held.pop(held.record.id, None)
        if pause is not None:
            asyncio.get_running_loop().call_later(max(pause, 0.0), self._look.set)
        self._look.set()
