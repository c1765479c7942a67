"""What was acknowledged to a client, when, and by which server; and what follows from it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

Primary = tuple[str, int]
"""Server and timeline: a server that is promoted again later has another timeline."""


@dataclass(frozen=True)
class Acknowledgement:
    """A row that the server said is committed. Times are :func:`time.monotonic`'s, in seconds."""

    number: int
    sent_at: float
    acknowledged_at: float
    server: str
    timeline: int

    @property
    def primary(self) -> Primary:
        return self.server, self.timeline


@dataclass(frozen=True)
class Overlap:
    """Proof of two primaries: ``old`` accepted a write that was sent after ``new`` had acknowledged one."""

    old: Acknowledgement
    new: Acknowledgement


class Ledger:
    """Every number that was sent, and every acknowledgement in the order in which they came. Safe between threads."""

    def __init__(self) -> None:
        self._acknowledged: list[Acknowledgement] = []
        self._open: set[int] = set()
        self._lock = threading.Lock()

    def sent(self, number: int) -> None:
        with self._lock:
            self._open.add(number)

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        with self._lock:
            self._open.discard(acknowledgement.number)
            self._acknowledged.append(acknowledgement)

    def __len__(self) -> int:
        """How many were acknowledged."""
        return len(self._acknowledged)

    @property
    def acknowledged(self) -> list[Acknowledgement]:
        with self._lock:
            return list(self._acknowledged)

    @property
    def unacknowledged(self) -> list[int]:
        """Numbers that were sent without an answer: each may or may not be in the table; neither is a fault."""
        with self._lock:
            return sorted(self._open)

    def gap(self) -> float:
        """The longest pause between two acknowledgements, in seconds; 0 when there are fewer than two."""
        times = (a.acknowledged_at for a in self.acknowledged)
        return max((after - before for before, after in pairwise(times)), default=0.0)

    def missing_from(self, numbers: Iterable[int]) -> list[int]:
        """Acknowledged numbers that are not among ``numbers``: lost writes."""
        return sorted({a.number for a in self.acknowledged}.difference(numbers))

    def overlapping_primaries(self) -> list[Overlap]:
        """Writes that an earlier primary accepted after a later one had acknowledged; one for each such pair.

        An old primary's answer that only arrives late is no proof: what counts is when the write was sent.
        """
        acknowledged = self.acknowledged
        firsts: dict[Primary, Acknowledgement] = {}
        for ack in acknowledged:
            firsts.setdefault(ack.primary, ack)
        place = {primary: index for index, primary in enumerate(firsts)}
        found: dict[tuple[Primary, Primary], Overlap] = {}
        for ack in acknowledged:
            for later, first in firsts.items():
                if place[later] > place[ack.primary] and ack.sent_at > first.acknowledged_at:
                    found.setdefault((ack.primary, later), Overlap(old=ack, new=first))
        return list(found.values())
