"""One claim of one job, from the claim to its end, its nap, or its loss."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from ccx.db import SessionFactory
from ccx.errors import CcxError
from ccx.jobs.control import EndOfReplay, Interrupted, Lost, Nap, TryAgain
from ccx.jobs.failures import (
    CANCELLED,
    FLAG_AFTER_S,
    FLAG_AFTER_TRIES,
    Error,
    describe,
    is_database_trouble,
    pause_s,
    traceback_of,
)
from ccx.jobs.job import Job
from ccx.jobs.ledger import Ledger, encode
from ccx.jobs.memory import Memory
from ccx.jobs.models import JobStatus
from ccx.jobs.records import JobRecord
from ccx.jobs.registry import Operation
from ccx.jobs.undoing import take_back

logger = structlog.get_logger(__name__)


class Execution:
    """Runs an operation's code for a claimed job, and its undo when it fails."""

    def __init__(
        self, operation: Operation, ledger: Ledger, services: Any, sessions: SessionFactory, woken: asyncio.Event
    ) -> None:
        self._operation = operation
        self._ledger = ledger
        self._services = services
        self._sessions = sessions
        self._woken = woken

    async def run(self) -> float | None:
        """Go as far as it goes. Returns in how many seconds to look again if the job naps; ``None`` if it is over."""
        try:
            try:
                await self._advance()
            except Nap as nap:
                return await self._ledger.nap(nap.pause.total_seconds(), wakes=nap.wakes)
            except TryAgain as again:
                return await self._retry(again)
            except Exception as exc:
                # Not the job's fault: the database went away between steps, or a handler failed.
                logger.error(
                    "job interrupted", job=str(self._record.id), token=self._record.token, exception=traceback_of(exc)
                )
                return await self._retry(TryAgain(describe(exc, None)))
        except Lost:
            logger.warning("job lost", job=str(self._record.id), kind=self._record.kind, token=self._record.token)
        return None

    @property
    def _record(self) -> JobRecord:
        return self._ledger.record

    async def _retry(self, again: TryAgain) -> float:
        tries = self._record.retries + 1
        flag = None
        if tries >= FLAG_AFTER_TRIES or again.age_s >= FLAG_AFTER_S:
            flag = again.error["err"]
            logger.error("job flagged", job=str(self._record.id), kind=self._record.kind, tries=tries, why=flag)
        return await self._ledger.nap(pause_s(tries), failed=True, flag=flag)

    async def _advance(self) -> None:
        if self._record.status is JobStatus.RUNNING:
            error = await self._forward()
            if error is None:
                return
            await self._ledger.start_undo(error)
        await self._undo()
        await self._end(done=False)

    def _job(self, memory: Memory) -> Job:
        return Job(self._ledger, memory, self._services, self._sessions, self._woken)

    async def _forward(self) -> Error | None:
        """Run the operation. Returns why it must be undone, or ``None`` when the job has ended."""
        if self._record.cancel and not self._ledger.forced:
            return CANCELLED
        job = self._job(Memory(await self._ledger.steps()))
        try:
            result = encode(await self._operation.function(job, **job.args))
        except Interrupted as interrupted:
            return interrupted.error
        except Exception as exc:
            if self._ledger.forced or is_database_trouble(exc):
                raise TryAgain(describe(exc, None)) from exc
            if not isinstance(exc, CcxError):
                logger.error("operation failed", job=str(job.id), token=job.token, exception=traceback_of(exc))
            return describe(exc, None)
        await self._end(done=True, result=result)
        return None

    async def _undo(self) -> None:
        """Replay the operation to learn what was begun, and take it back, the last first."""
        memory = Memory(await self._ledger.steps(), replay=True)
        if memory.missing_undos():
            await self._replay(memory)
        missing = memory.missing_undos()
        for undo in sorted(memory.undos.values(), key=lambda undo: -undo.number):
            await take_back(self._ledger, memory, self._sessions, undo)
        if missing:
            names = ", ".join(f"'{name}'" for name in missing)
            raise TryAgain(
                {"err": f"this version doesn't know how to undo {names}", "field": None, "remedy": None, "step": None},
                age_s=FLAG_AFTER_S,
            )

    async def _replay(self, memory: Memory) -> None:
        job = self._job(memory)
        try:
            await self._operation.function(job, **job.args)
        except (EndOfReplay, Interrupted):
            pass
        except Exception as exc:
            if is_database_trouble(exc):
                raise
            # It failed as it did before, or stumbles over what is undone already. What it named is known.
            logger.info("replay ended", job=str(job.id), token=job.token, error=type(exc).__name__)

    async def _end(self, *, done: bool, result: str | None = None) -> None:
        handler = self._operation.on_done if done else self._operation.on_failed
        if handler is None:
            record = await self._ledger.end(done=done, result=result)
        else:
            async with self._sessions.begin() as tx:
                record = await self._ledger.end_in(tx, done=done, result=result)
                await handler(tx, record, record.error)
        took_s = (
            (record.finished_at - record.started_at).total_seconds() if record.finished_at and record.started_at else 0
        )
        logger.info(
            "job ended", job=str(record.id), kind=record.kind, token=record.token, status=str(record.status),
            seconds=round(took_s, 3),
        )  # fmt: skip
