"""What an operation's code works with: named steps whose results outlive the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

from ccx.db import SessionFactory
from ccx.errors import CcxError
from ccx.jobs.attempt import Retrying, attempt, explain, pause
from ccx.jobs.control import EndOfReplay, Interrupted, Lost, Nap, TryAgain
from ccx.jobs.failures import Error, StepFailed, describe, is_transient
from ccx.jobs.ledger import Ledger, encode
from ccx.jobs.memory import Action, Memory, TransactionBody, Undo
from ccx.jobs.models import StepState

Condition = Callable[[], Awaitable[Any]]

POLL_IN_PLACE = timedelta(seconds=2)
"""A wait that looks more often than this keeps the job, and looks in place."""
CONDITION_TIMEOUT_S = 60.0
_URGENCY = (Lost, Interrupted, StepFailed, Exception, TryAgain, EndOfReplay)


class Job:
    """A claimed job. Its operation's code runs from the top at each claim; a done step returns its stored result.

    So code between steps must be quick and free of effects, and decide only by arguments and by results of steps.

    Attributes:
        id: the job's.
        key: what it serialises on.
        token: of this claim.
        args: as they were enqueued.
        services: what the runner was given for its operations.
        sessions: of the metadata database.
    """

    def __init__(
        self, ledger: Ledger, memory: Memory, services: Any, sessions: SessionFactory, woken: asyncio.Event
    ) -> None:
        record = ledger.record
        self.id: UUID = record.id
        self.key = record.key
        self.token = record.token or 0
        self.args = record.args
        self.services = services
        self.sessions = sessions
        self._ledger = ledger
        self._memory = memory
        self._woken = woken

    async def step(
        self,
        name: str,
        action: Action,
        *,
        undo: Action | None = None,
        timeout: float = 60.0,  # noqa: ASYNC109 - it starts anew with progress
        retry_for: float = 120.0,
    ) -> Any:
        """Run ``action`` once to its end, however many runners that takes; its result is stored and returned for ever.

        A runner may die in the middle of it, and then it is run again: it must be idempotent.

        Args:
            name: unique in the job; it never changes its meaning.
            action: ``async (step) -> JSON``.
            undo: takes back whatever the action may have begun; run if the job fails or is cancelled later.
            timeout: seconds that one try may take without progress.
            retry_for: seconds during which transient errors are tried again, with growing pauses; they begin anew when
                a try comes further than all before.

        Raises:
            StepFailed: the action failed.
        """
        return await self._step(name, action, undo, timeout, retry_for, pivot=False)

    async def pivot(self, name: str, action: Action, *, timeout: float = 60.0) -> Any:  # noqa: ASYNC109 - as above
        """The step behind which there is no way back.

        Nothing is undone from here on. This step and all later ones are tried until they succeed, with growing pauses,
        and the job is flagged for an operator after five failures or five minutes. Cancel and deadline end it no more.
        """
        return await self._step(name, action, None, timeout, 0.0, pivot=True)

    async def _step(
        self, name: str, action: Action, undo: Action | None, limit_s: float, retry_for: float, *, pivot: bool
    ) -> Any:
        found, value = self._memory.recall(name, Undo(name, action=undo) if undo else None)
        if found:
            return value
        number = self._memory.number(name)
        retrying = Retrying(self._ledger, name, number, retry_for)
        while True:
            begun = await self._ledger.begin(name, number, undoable=undo is not None, pivot=pivot)
            if pivot:
                self._ledger.forced = True
            try:
                result, progress = await attempt(
                    self._ledger, name, begun["attempts"], action, limit_s, retrying.advanced
                )
            except Exception as exc:
                if self._ledger.forced or not await retrying.again(exc):
                    await self._fail(name, exc, begun["age_s"])
            else:
                await self._ledger.finish(name, StepState.DONE, result, progress=progress)
                return json.loads(result) if result else None

    async def transaction(
        self, name: str, body: TransactionBody, *, undo: TransactionBody | None = None, retry_for: float = 120.0
    ) -> Any:
        """A step that writes to the metadata database: what it writes and its result are committed together, once.

        Args:
            name: as for :meth:`step`.
            body: ``async (tx) -> JSON``. It may be run again, after a rollback. Keep it short: the job's row is locked.
            undo: of the same kind.
            retry_for: seconds, as for :meth:`step`. Trouble with the database itself is outlasted anyway.
        """
        found, value = self._memory.recall(name, Undo(name, body=undo) if undo else None)
        if found:
            return value
        number = self._memory.number(name)
        retrying = Retrying(self._ledger, name, number, retry_for)
        while True:
            try:
                return await self._commit(name, number, body, undoable=undo is not None)
            except Exception as exc:
                if not self._ledger.forced and await retrying.again(exc):
                    continue
                error = explain(exc, self.id, self.token, name)
                if self._ledger.forced:
                    await self._ledger.tried(name, number, error)
                    raise TryAgain(error) from exc
                await self._ledger.fail_unbegun(name, number, error)
                raise StepFailed(error) from exc

    async def _commit(self, name: str, number: int, body: TransactionBody, *, undoable: bool) -> Any:
        async with self.sessions.begin() as tx:
            earlier = await self._ledger.lock(tx, name)
            if earlier and earlier.state is StepState.DONE:
                return earlier.result
            result = encode(await body(tx))
            await tx.flush()
            await self._ledger.record_step(tx, name, number, undoable=undoable, result=result)
        await self._ledger.committed(name)
        return json.loads(result) if result else None

    async def gather(self, *steps: Coroutine[Any, Any, Any]) -> list[Any]:
        """Run steps (or coroutines made of steps) side by side. All of them end before the first failure is raised."""
        results = await asyncio.gather(*steps, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise _most_urgent(failures)
        return results

    async def nap_until(self, name: str, condition: Condition, *, every: timedelta, within: timedelta) -> Any:
        """Wait until ``condition`` returns something other than ``None``; that is the step's result.

        Between two looks the job naps: it keeps its key, but holds no task, connection or lease. ``jobs.wake`` of its
        key makes it look at once. If it shall look more often than every 2 seconds, it waits in place instead.

        Args:
            name: as for :meth:`step`.
            condition: ``async () -> JSON | None``. A transient error counts as ``None``; the last look's is kept.
            every: from one look to the next.
            within: how long it may take; then the step fails.
        """
        found, value = self._memory.recall(name)
        if found:
            return value
        number = self._memory.number(name)
        begun = await self._ledger.begin(name, number, undoable=False)
        age_s, told = float(begun["age_s"]), begun["error"]
        while True:
            self._woken.clear()
            wakes = self._ledger.wakes
            result, trouble = await self._check(name, condition, age_s)
            if result is not None:
                await self._ledger.finish(name, StepState.DONE, result)
                return json.loads(result)
            if trouble != told:
                await self._ledger.tried(name, number, trouble)
                told = trouble
            if age_s >= within.total_seconds():
                await self._fail(name, _TookTooLong(name, within), age_s)
            if every >= POLL_IN_PLACE:
                raise Nap(every, wakes)
            await pause(self._woken, every.total_seconds())
            age_s = float((await self._ledger.look(name))["age_s"])

    async def _check(self, name: str, condition: Condition, age_s: float) -> tuple[str | None, Error | None]:
        """What the condition says, or why it could not be asked."""
        try:
            async with asyncio.timeout(CONDITION_TIMEOUT_S):
                return encode(await condition()), None
        except Exception as exc:
            if is_transient(exc):
                return None, describe(exc, name)
            await self._fail(name, exc, age_s)

    async def _fail(self, name: str, exc: Exception, age_s: float) -> NoReturn:
        error = explain(exc, self.id, self.token, name)
        if self._ledger.forced:
            await self._ledger.tried(name, self._memory.number(name), error)
            raise TryAgain(error, age_s=age_s) from exc
        await self._ledger.finish(name, StepState.FAILED, None, error)
        raise StepFailed(error) from exc


class _TookTooLong(CcxError):
    def __init__(self, name: str, within: timedelta) -> None:
        super().__init__(
            f"waiting for '{name}' took longer than {within.total_seconds():g} seconds",
            remedy="Try again; the job's steps show how far it came",
        )


def _most_urgent(failures: list[BaseException]) -> BaseException:
    """Which of several failures decides: the job's loss before its end, that before a retry, a retry before a nap."""
    for kind in _URGENCY:
        for failure in failures:
            if isinstance(failure, kind):
                return failure
    naps = [failure for failure in failures if isinstance(failure, Nap)]
    if naps:
        return Nap(min(nap.pause for nap in naps), min(nap.wakes for nap in naps))
    return failures[0]
