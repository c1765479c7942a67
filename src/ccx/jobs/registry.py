"""Operations by name: what a queued job's kind means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.jobs.models import Lane
from ccx.jobs.records import JobRecord

Handler = Callable[[AsyncSession, JobRecord, dict[str, Any] | None], Awaitable[None]]
"""Called in the transaction that writes the job's final status: what it writes is there if, and only if, that is."""

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True)
class Operation:
    """A kind of job. ``function(job, **args)`` is replayed from the top by whoever takes the job up again."""

    kind: str
    function: Callable[..., Awaitable[Any]]
    deadline: timedelta
    lane: Lane = Lane.MAIN
    on_failed: Handler | None = None
    on_done: Handler | None = None


_operations: dict[str, Operation] = {}


def operation(
    kind: str,
    *,
    deadline: timedelta,
    lane: Lane = Lane.MAIN,
    on_failed: Handler | None = None,
    on_done: Handler | None = None,
) -> Callable[[F], F]:
    """Register ``async def f(job, **args)`` as the operation ``kind``.

    Args:
        kind: its name in ``enqueue``. It is stored with each job, so it never changes its meaning.
        deadline: how long a job may go without advancing: counted from its start, and again from each progress that a
            step reports. A job that is late is undone, unless it is past its pivot.
        lane: which other jobs of its key it excludes: those of its lane, or all of them.
        on_failed: called in the final status' transaction when the job has failed or was cancelled, after its undo.
        on_done: called in the final status' transaction when the job is done.
    """

    def register(function: F) -> F:
        known = _operations.get(kind)
        if known and (known.function.__module__, known.function.__qualname__) != (
            function.__module__,
            function.__qualname__,
        ):
            raise ValueError(f"two operations are called {kind!r}")
        _operations[kind] = Operation(kind, function, deadline, lane, on_failed, on_done)
        return function

    return register


def find(kind: str) -> Operation | None:
    """The operation of that name, if this process has imported it."""
    return _operations.get(kind)


def known() -> list[Operation]:
    """All operations that this process has imported. A runner leaves jobs of other kinds to others."""
    return list(_operations.values())
