"""One claim's writes: each of them checks the token, and none of them happens once the job is somebody else's."""

from __future__ import annotations

import json
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.jobs import sql
from ccx.jobs.connections import Connections
from ccx.jobs.control import Interrupted, Lost
from ccx.jobs.failures import CANCELLED, Error, late
from ccx.jobs.models import JobStatus, StepState
from ccx.jobs.pulse import Pulse
from ccx.jobs.records import JobRecord, StepRecord

logger = structlog.get_logger(__name__)

Row = dict[str, Any]


def encode(value: Any) -> str | None:
    """As JSON text; ``None`` is SQL's null. Raises ``TypeError`` or ``ValueError`` for what JSON can't hold."""
    return None if value is None else json.dumps(value, allow_nan=False)


class Ledger:
    """What is written about a claimed job. Raises :class:`Lost` when the claim no longer holds.

    Attributes:
        record: the job as it was claimed.
        forced: undo, or past the pivot: neither cancel nor deadline stops a step.
        wakes: how often the job had been woken when it was last looked at.
    """

    def __init__(self, record: JobRecord, connections: Connections, pulse: Pulse, deadline_s: float) -> None:
        self.record = record
        self.forced = record.pivoted or record.status is JobStatus.UNDOING
        self.wakes = record.wakes
        self._troubled = record.retries > 0
        self._connections = connections
        self._pulse = pulse
        self._deadline_s = deadline_s
        self._own = {"id": record.id, "token": record.token}

    async def _write(self, statement: str, **values: Any) -> Row:
        self._pulse.check()
        rows = await self._connections.fetch(statement, {**self._own, **values})
        if not rows:
            raise Lost
        return rows[0]

    async def ready(self) -> None:
        """Return when the database answers."""
        await self._connections.fetch("select 1", {})

    async def steps(self) -> list[StepRecord]:
        return [StepRecord.of(row) for row in await self._connections.fetch(sql.STEPS, self._own)]

    async def begin(self, name: str, number: int, *, undoable: bool, pivot: bool = False) -> Row:
        """Note that the step begins, or raise :class:`Interrupted`. The row has ``attempts``, ``error``, ``age_s``."""
        row = await self._write(
            sql.BEGIN_STEP, name=name, number=number, undoable=undoable, forced=self.forced, pivot=pivot
        )
        self.wakes = row["wakes"]
        if row["attempts"] is None:
            self._interrupt(row, name)
        self._trace(name, "begun")
        return row

    def _interrupt(self, row: Row, name: str) -> None:
        if self.forced:
            return
        if row["cancel"]:
            raise Interrupted(CANCELLED)
        if row["late"]:
            raise Interrupted(late(name))

    async def look(self, name: str) -> Row:
        """The waiting step's ``age_s``; raises :class:`Interrupted` if the job is no longer wanted."""
        row = await self._write(sql.LOOK, name=name)
        self.wakes = row["wakes"]
        self._interrupt(row, name)
        return row

    async def finish(
        self, name: str, state: StepState, result: str | None, error: Error | None = None, progress: Any = None
    ) -> None:
        await self._write(
            sql.FINISH_STEP, name=name, state=state, result=result, error=encode(error), progress=encode(progress)
        )
        self._trace(name, state)
        if state is StepState.DONE:
            await self.calm()

    async def tried(self, name: str, number: int, error: Error | None) -> None:
        """Keep why the step's last try failed, for those who wonder why it waits; it is to be tried again."""
        await self._write(sql.TRIED_STEP, name=name, number=number, error=encode(error))

    async def fail_unbegun(self, name: str, number: int, error: Error) -> None:
        """Record the failure of a step that left nothing behind (a transaction rolled back)."""
        await self._write(
            sql.RECORD_STEP, name=name, number=number, state=StepState.FAILED, undoable=False, result=None,
            error=encode(error),
        )  # fmt: skip
        self._trace(name, StepState.FAILED)

    async def finish_undo(self, name: str, of: str, result: str | None) -> None:
        await self._write(sql.FINISH_UNDO, name=name, of=of, result=result)
        self._trace(name, StepState.DONE)
        await self.calm()

    async def progress(self, name: str, progress: Row, advanced: bool) -> None:
        """Store it, or raise :class:`Interrupted` if the job is no longer wanted."""
        row = await self._write(
            sql.PROGRESS, name=name, progress=encode(progress), advanced=advanced, deadline=self._deadline_s
        )
        self._interrupt(row, name)

    async def calm(self) -> None:
        """What kept failing succeeds again: no flag, and short pauses the next time."""
        if self._troubled:
            await self._write(sql.CALM)
            self._troubled = False

    async def nap(
        self, pause_s: float, *, wakes: int | None = None, failed: bool = False, flag: str | None = None
    ) -> float:
        """Let go of the job until then. Returns how many seconds that really are: it may have been woken meanwhile.

        Args:
            wakes: how often it had been woken when it was last decided that it must wait; ``None``: sleep anyway.
        """
        row = await self._write(sql.NAP, pause=pause_s, wakes=wakes, failed=failed, flagged=flag)
        return float(row["pause_s"])

    async def start_undo(self, error: Error) -> None:
        self.record = JobRecord.of(await self._write(sql.START_UNDO, error=encode(error)))
        self.forced = True
        self._troubled = False

    async def end(self, *, done: bool, result: str | None) -> JobRecord:
        return JobRecord.of(await self._write(sql.FINISH, done=done, result=result))

    # The same within a transaction of the caller's.

    async def lock(self, tx: AsyncSession, name: str) -> StepRecord | None:
        """Lock the job's row and check the token. Returns the step if an earlier commit got through unheard."""
        self._pulse.check()
        row = await self._in(tx, sql.LOCK)
        if not self.forced:
            self._interrupt(row, name)
        connection = await tx.connection()
        found = await connection.exec_driver_sql(
            "select * from jobs.step where job_id = %(id)s and name = %(name)s", {**self._own, "name": name}
        )
        step = found.mappings().one_or_none()
        return StepRecord.of(step) if step else None

    async def record_step(
        self, tx: AsyncSession, name: str, number: int, *, undoable: bool, result: str | None
    ) -> None:
        await self._in(
            tx, sql.RECORD_STEP,
            name=name, number=number, state=StepState.DONE, undoable=undoable, result=result, error=None,
        )  # fmt: skip

    async def mark_undone(self, tx: AsyncSession, name: str) -> None:
        await self._in(tx, sql.UNDONE_STEP, name=name)

    async def end_in(self, tx: AsyncSession, *, done: bool, result: str | None) -> JobRecord:
        return JobRecord.of(await self._in(tx, sql.FINISH, done=done, result=result))

    async def _in(self, tx: AsyncSession, statement: str, **values: Any) -> Row:
        connection = await tx.connection()
        found = await connection.exec_driver_sql(statement, {**self._own, **values})
        row = found.mappings().first()
        if row is None:
            raise Lost
        return dict(row)

    def _trace(self, step: str, state: str) -> None:
        logger.info(
            "step", job=str(self.record.id), kind=self.record.kind, token=self.record.token, step=step, state=str(state)
        )

    async def committed(self, step: str) -> None:
        """To be called after the commit of a transaction of the caller's that recorded the step."""
        self._trace(step, StepState.DONE)
        await self.calm()
