"""What an operation's code works with: named steps whose results outlive the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import SessionFactory
from ccx.errors import CcxError
from ccx.jobs.control import EndOfReplay, Interrupted, Lost, Nap, TryAgain
from ccx.jobs.failures import StepFailed, describe, is_database_trouble, is_transient, pause_s
from ccx.jobs.ledger import Ledger, encode
from ccx.jobs.models import StepState
from ccx.jobs.records import StepRecord
from ccx.jobs.step import Step

logger = structlog.get_logger(__name__)

Action = Callable[[Step], Awaitable[Any]]
TransactionBody = Callable[[AsyncSession], Awaitable[Any]]
Condition = Callable[[], Awaitable[Any]]

POLL_IN_PLACE = timedelta(seconds=2)
"""A wait that looks more often than this keeps the job, and looks in place."""
CONDITION_TIMEOUT_S = 60.0
_URGENCY = (Lost, Interrupted, StepFailed, Exception, TryAgain, EndOfReplay)


class Job:
    """A claimed job. The operation's code is run from the top at each claim; a step that is done returns its stored result.

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
        self,
        ledger: Ledger,
        steps: list[StepRecord],
        services: Any,
        sessions: SessionFactory,
        woken: asyncio.Event,
        *,
        replay: bool = False,
    ) -> None:
        record = ledger.record
        self.id: UUID = record.id
        self.key = record.key
        self.token = record.token or 0
        self.args = record.args
        self.services = services
        self.sessions = sessions
        self._ledger = ledger
        self._stored = {step.name: step for step in steps}
        self._number = max((step.number for step in steps), default=0)
        self._seen: set[str] = set()
        self._woken = woken
        self._replay = replay
        self.undos: dict[str, Undo] = {}

    async def step(
        self, name: str, action: Action, *, undo: Action | None = None, timeout: float = 60.0, retry_for: float = 120.0
    ) -> Any:
        """Run ``action`` once to its end, however many runners that takes; its result is stored and returned for ever.

        A runner may die in the middle of it, and then it is run again: it must be idempotent.

        Args:
            name: unique in the job; it never changes its meaning.
            action: ``async (step) -> JSON``.
            undo: takes back whatever the action may have begun; run if the job fails or is cancelled later.
            timeout: seconds that one try may take without progress.
            retry_for: seconds during which transient errors are tried again, with growing pauses.

        Raises:
            StepFailed: the action failed.
        """
        return await self._step(name, action, undo, timeout, retry_for, pivot=False)

    async def pivot(self, name: str, action: Action, *, timeout: float = 60.0) -> Any:
        """The step behind which there is no way back.

        Nothing is undone from here on. This step and all later ones are tried until they succeed, with growing pauses,
        and the job is flagged for an operator after five failures or five minutes. Cancel and deadline end it no more.
        """
        return await self._step(name, action, None, timeout, 0.0, pivot=True)

    async def transaction(
        self, name: str, body: TransactionBody, *, undo: TransactionBody | None = None, retry_for: float = 120.0
    ) -> Any:
        """A step that writes to the metadata database: what it writes and its result are committed together, exactly once.

        Args:
            name: as for :meth:`step`.
            body: ``async (tx) -> JSON``. It may be run again, after a rollback.
            undo: of the same kind.
            retry_for: seconds, as for :meth:`step`. Trouble with the database itself is outlasted anyway.
        """
        found, value = self._recall(name, Undo(name, body=undo) if undo else None)
        if found:
            return value
        number = self._next_number()
        retrying = _Retrying(retry_for)
        while True:
            try:
                return await self._commit(name, number, body, undoable=undo is not None)
            except Exception as exc:
                if self._ledger.forced:
                    raise TryAgain(self._explain(exc, name)) from exc
                if not await retrying.again(exc, self._ledger):
                    error = self._explain(exc, name)
                    await self._ledger.fail_unbegun(name, number, error)
                    raise StepFailed(error) from exc

    async def gather(self, *steps: Coroutine[Any, Any, Any]) -> list[Any]:
        """Run steps (or coroutines made of steps) side by side. All of them end before the first failure is raised."""
        results = await asyncio.gather(*steps, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise _most_urgent(failures)
        return results

    async def nap_until(self, name: str, condition: Condition, *, every: timedelta, within: timedelta) -> Any:
        """Wait until ``condition`` returns something other than ``None``; that is the step's result.

        Between two looks the job naps: it keeps its key, but holds no task, connection or lease. ``jobs.wake`` of its key
        makes it look at once. If it shall look more often than every 2 seconds, it waits in place instead.

        Args:
            condition: ``async () -> JSON | None``. A transient error counts as ``None``.
            within: how long it may take; then the step fails.
        """
        found, value = self._recall(name, None)
        if found:
            return value
        number = self._next_number()
        age_s = float((await self._ledger.begin(name, number, undoable=False))["age_s"])
        while True:
            self._woken.clear()
            wakes = self._ledger.wakes
            try:
                async with asyncio.timeout(CONDITION_TIMEOUT_S):
                    value = await condition()
                result = encode(value)
            except Exception as exc:
                if not is_transient(exc):
                    await self._fail(name, exc, age_s)
                result = None
            if result is not None:
                await self._ledger.finish(name, StepState.DONE, result)
                return json.loads(result)
            if age_s >= within.total_seconds():
                await self._fail(name, _TookTooLong(name, within), age_s)
            if every >= POLL_IN_PLACE:
                raise Nap(every, wakes)
            await _pause(self._woken, every.total_seconds())
            age_s = float((await self._ledger.look(name))["age_s"])

    # What remains is the engine's.

    def _recall(self, name: str, undo: Undo | None) -> tuple[bool, Any]:
        """Whether the step has been decided, and its result; raises what a failed one raised."""
        if name in self._seen:
            raise ValueError(f"two steps of one job are called {name!r}")
        self._seen.add(name)
        stored = self._stored.get(name)
        if stored is None:
            if not self._replay:
                return False, None
            if self.missing_undos():
                # A step that a new version put before others that did run. Go on, to find the undo of those.
                return True, None
            raise EndOfReplay
        if stored.undoable and stored.state is not StepState.UNDONE and undo:
            undo.number = stored.number
            self.undos[name] = undo
        if stored.finished is None:
            if self._replay:
                raise EndOfReplay
            return False, None
        if stored.error:
            raise StepFailed(stored.error)
        return True, stored.result

    def missing_undos(self) -> list[str]:
        """Steps whose undo is owed, but which the code has not named (yet)."""
        return [
            step.name
            for step in self._stored.values()
            if step.undoable and step.state is not StepState.UNDONE and step.name not in self.undos
        ]

    def undone(self, name: str) -> bool:
        """Whether that step of the undo has been done."""
        stored = self._stored.get(name)
        return stored is not None and stored.state is StepState.DONE

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    async def _step(
        self, name: str, action: Action, undo: Action | None, timeout: float, retry_for: float, *, pivot: bool
    ) -> Any:
        found, value = self._recall(name, Undo(name, action=undo) if undo else None)
        if found:
            return value
        stored = self._stored.get(name)
        number = stored.number if stored else self._next_number()
        retrying = _Retrying(retry_for)
        while True:
            begun = await self._ledger.begin(name, number, undoable=undo is not None, pivot=pivot)
            if pivot:
                self._ledger.forced = True
            try:
                result, progress = await self._try(name, begun["attempts"], action, timeout)
            except Exception as exc:
                if not self._ledger.forced and await retrying.again(exc, self._ledger):
                    continue
                await self._fail(name, exc, begun["age_s"])
            else:
                await self._ledger.finish(name, StepState.DONE, result, progress=progress)
                return json.loads(result) if result else None

    async def _try(self, name: str, attempt: int, action: Action, timeout: float) -> tuple[str | None, Any]:
        async with asyncio.timeout(timeout) as limit:
            step = Step(name, self.token, attempt, self._ledger, limit, timeout)
            value = await action(step)
        return encode(value), step.latest

    async def _fail(self, name: str, exc: Exception, age_s: float) -> None:
        error = self._explain(exc, name)
        if self._ledger.forced:
            raise TryAgain(error, age_s=age_s) from exc
        await self._ledger.finish(name, StepState.FAILED, None, error)
        raise StepFailed(error) from exc

    async def _commit(self, name: str, number: int, body: TransactionBody, *, undoable: bool) -> Any:
        async with self.sessions.begin() as tx:
            earlier = await self._ledger.lock(tx, name)
            if earlier and earlier.state is StepState.DONE:
                return earlier.result
            result = encode(await body(tx))
            await tx.flush()
            await self._ledger.record_step(tx, name, number, undoable=undoable, result=result)
        self._ledger.trace_committed(name)
        await self._ledger.calm()
        return json.loads(result) if result else None

    async def take_back(self, undo: Undo) -> None:
        """Run an undo action as a step of its own, and mark the step that it takes back."""
        name = f"undo: {undo.of}"
        if self.undone(name):
            return
        if undo.body:
            await self._take_back_rows(name, undo.of, undo.body)
            return
        assert undo.action
        begun = await self._ledger.begin(name, self._next_number(), undoable=False)
        try:
            result, _ = await self._try(name, begun["attempts"], undo.action, undo.timeout)
        except Exception as exc:
            raise TryAgain(self._explain(exc, name), age_s=begun["age_s"]) from exc
        await self._ledger.finish_undo(name, undo.of, result)

    async def _take_back_rows(self, name: str, of: str, body: TransactionBody) -> None:
        number = self._next_number()
        try:
            async with self.sessions.begin() as tx:
                earlier = await self._ledger.lock(tx, name)
                if earlier and earlier.state is StepState.DONE:
                    return
                result = encode(await body(tx))
                await tx.flush()
                await self._ledger.record_step(tx, name, number, undoable=False, result=result)
                await self._ledger.mark_undone(tx, of)
        except Exception as exc:
            raise TryAgain(self._explain(exc, name)) from exc
        self._ledger.trace_committed(name)
        await self._ledger.calm()

    def _explain(self, exc: Exception, name: str) -> dict[str, Any]:
        log = logger.warning if isinstance(exc, CcxError) or is_transient(exc) else logger.error
        log("step failed", job=str(self.id), token=self.token, step=name, exc_info=exc)
        return describe(exc, name)


class Undo:
    """How a step is taken back: by an action, or by a transaction's body."""

    timeout = 300.0

    def __init__(self, of: str, *, action: Action | None = None, body: TransactionBody | None = None) -> None:
        self.of = of
        self.action = action
        self.body = body
        self.number = 0


class _TookTooLong(CcxError):
    def __init__(self, name: str, within: timedelta) -> None:
        super().__init__(
            f"waiting for '{name}' took longer than {within.total_seconds():g} seconds",
            remedy="Try again; the job's steps show how far it came",
        )


class _Retrying:
    """The tries of one step in this process."""

    def __init__(self, retry_for: float) -> None:
        self._until = asyncio.get_running_loop().time() + retry_for
        self._tries = 0

    async def again(self, exc: Exception, ledger: Ledger) -> bool:
        """Whether to try again; waits before it says so."""
        self._tries += 1
        if is_database_trouble(exc):
            # Ours to outlast: a restart of the database makes no job fail. The deadline still holds.
            await ledger.ready()
        elif not is_transient(exc) or asyncio.get_running_loop().time() >= self._until:
            return False
        await asyncio.sleep(pause_s(self._tries, longest=15.0))
        return True


async def _pause(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or that long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _most_urgent(failures: list[BaseException]) -> BaseException:
    """Which of several failures decides: losing the job before its end, its end before a retry, a retry before a nap."""
    for kind in _URGENCY:
        for failure in failures:
            if isinstance(failure, kind):
                return failure
    naps = [failure for failure in failures if isinstance(failure, Nap)]
    if naps:
        return Nap(min(nap.pause for nap in naps), min(nap.wakes for nap in naps))
    return failures[0]
