"""Single tries, and the pauses between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog

from ccx.errors import CcxError
from ccx.jobs.failures import Error, describe, is_database_trouble, is_transient, pause_s, traceback_of
from ccx.jobs.ledger import Ledger, encode
from ccx.jobs.memory import Action
from ccx.jobs.step import Step

logger = structlog.get_logger(__name__)


async def attempt(
    ledger: Ledger,
    name: str,
    number: int,
    action: Action,
    limit_s: float,
    advanced: Callable[[float], None] = lambda _done: None,
) -> tuple[str | None, dict[str, Any] | None]:
    """Call the action once. Returns its result as JSON, and its last progress; tells ``advanced`` how far it gets."""
    async with asyncio.timeout(limit_s) as limit:
        step = Step(name, ledger.record.token or 0, number, ledger, limit, limit_s, advanced)
        value = await action(step)
    return encode(value), step.latest


class Retrying:
    """The tries of one step in this process; transient errors are tried again for ``retry_for`` seconds.

    They are counted from when a try came further than any before: what took hours deserves them as well.
    """

    def __init__(self, ledger: Ledger, name: str, number: int, retry_for: float) -> None:
        self._ledger, self._name, self._number = ledger, name, number
        self._retry_for = retry_for
        self._until = asyncio.get_running_loop().time() + retry_for
        self._furthest = 0.0
        self._tries = 0

    def advanced(self, done: float) -> None:
        """A try came that far, in the step's own measure."""
        if done > self._furthest:
            self._furthest = done
            self._until = asyncio.get_running_loop().time() + self._retry_for
            self._tries = 0

    async def again(self, exc: Exception) -> bool:
        """Whether to try again; keeps why the last try failed, and waits before it says so."""
        self._tries += 1
        if is_database_trouble(exc):
            # Ours to outlast: a restart of the database makes no job fail. The deadline still holds.
            await self._ledger.ready()
        elif not is_transient(exc) or asyncio.get_running_loop().time() >= self._until:
            return False
        await self._ledger.tried(self._name, self._number, describe(exc, self._name))
        await asyncio.sleep(pause_s(self._tries, longest=15.0))
        return True


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most that long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def explain(exc: Exception, job_id: UUID, token: int, step: str) -> Error:
    """Log the failure with its traceback, and return what a user may see of it."""
    expected = isinstance(exc, CcxError) or is_transient(exc)
    logger.log(
        logging.WARNING if expected else logging.ERROR,
        "step failed", job=str(job_id), token=token, step=step, exception=traceback_of(exc),
    )  # fmt: skip
    return describe(exc, step)
