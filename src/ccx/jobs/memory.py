"""What a claim knows of the job's earlier runs: the stored steps, and the undo actions that the code names for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.jobs.control import EndOfReplay
from ccx.jobs.failures import StepFailed
from ccx.jobs.models import StepState
from ccx.jobs.records import StepRecord
from ccx.jobs.step import Step

Action = Callable[[Step], Awaitable[Any]]
TransactionBody = Callable[[AsyncSession], Awaitable[Any]]


@dataclass
class Undo:
    """How the step ``of`` is taken back: by an action, or by the body of a transaction."""

    of: str
    action: Action | None = None
    body: TransactionBody | None = None
    number: int = 0


class Memory:
    """The stored steps of a job.

    Args:
        steps: all of them.
        replay: the code is run only to learn its undo actions; no step may begin.
    """

    def __init__(self, steps: list[StepRecord], *, replay: bool = False) -> None:
        self._stored = {step.name: step for step in steps}
        self._last_number = max((step.number for step in steps), default=0)
        self._seen: set[str] = set()
        self._replay = replay
        self.undos: dict[str, Undo] = {}

    def recall(self, name: str, undo: Undo | None = None) -> tuple[bool, Any]:
        """Whether the step has been decided, and its result; raises what a failed one raised.

        In a replay it raises :class:`EndOfReplay` where the job had come to.
        """
        if name in self._seen:
            raise ValueError(f"two steps of one job are called {name!r}")
        self._seen.add(name)
        stored = self._stored.get(name)
        if stored is None:
            if not self._replay:
                return False, None
            if self.missing_undos():
                # A step that a newer version put before others that did run. Go on, to find the undo of those.
                return True, None
            raise EndOfReplay
        if undo and self._owes_undo(stored):
            undo.number = stored.number
            self.undos[name] = undo
        if stored.finished is None:
            if self._replay:
                raise EndOfReplay
            return False, None
        if stored.error:
            raise StepFailed(stored.error)
        return True, stored.result

    @staticmethod
    def _owes_undo(step: StepRecord) -> bool:
        return step.undoable and step.state is not StepState.UNDONE

    def missing_undos(self) -> list[str]:
        """Steps whose undo is owed, but which the code has not named (yet)."""
        return [step.name for step in self._stored.values() if self._owes_undo(step) and step.name not in self.undos]

    def number(self, name: str) -> int:
        """The place of a step in the order of their beginning."""
        stored = self._stored.get(name)
        if stored:
            return stored.number
        self._last_number += 1
        return self._last_number
