"""What an action gets to see of its step."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from ccx.db import utc_now
from ccx.jobs.ledger import Ledger

PROGRESS_EVERY_S = 1.0


SPEED_OVER_S = 15.0
"""A speed is that of the last seconds: what it was in the beginning tells nobody when it will be done."""


class Speed:
    """How fast something grows, from readings of it."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, float]] = deque()

    def after(self, done: float, at: float) -> float | None:
        """A second, with this reading; ``None`` until two differ by a second. A fall, as by a new try, begins anew."""
        readings = self._readings
        if readings and done < readings[-1][1]:
            readings.clear()
        readings.append((at, done))
        while len(readings) > 2 and at - readings[1][0] >= SPEED_OVER_S:
            readings.popleft()
        since, before = readings[0]
        return round((done - before) / (at - since), 1) if at - since >= 1 else None


class Step:
    """A running step.

    Attributes:
        name: its name in the job.
        token: of this claim of the job; pass it to whatever can check it (tags on cloud resources, ``ccx-agent``). A
            later claim, of whichever job, has a higher one.
        attempt: 1 at the first try.
    """

    def __init__(
        self,
        name: str,
        token: int,
        attempt: int,
        ledger: Ledger,
        limit: asyncio.Timeout,
        timeout: float,
        advanced: Callable[[float], None],
    ) -> None:
        self.name = name
        self.token = token
        self.attempt = attempt
        self._ledger = ledger
        self._limit = limit
        self._timeout = timeout
        self._advanced = advanced
        self._speed = Speed()
        self._furthest = float("-inf")
        self._stored_at = float("-inf")
        self._unstored_advance = False
        self.latest: dict[str, Any] | None = None

    async def progress(
        self, done: float, total: float | None = None, unit: str | None = None, note: str | None = None
    ) -> None:
        """Report how far the step is. Call it as often as you like: it is stored at most once a second.

        As long as ``done`` grows, the step's time limit and the job's deadline start anew. It is here that a running
        step learns that its job was cancelled or is late: it ends at once, and what it began is undone.

        Args:
            done: bytes, rows, a position in the log: whatever grows.
            total: what ``done`` will be in the end, if that is known.
            unit: of both: ``bytes``, ``lsn``.
            note: what is happening, in a few words.
        """
        now = asyncio.get_running_loop().time()
        if done > self._furthest:
            self._furthest = done
            self._advanced(done)
            self._unstored_advance = True
            self._limit.reschedule(now + self._timeout)
        rate = self._speed.after(done, now)
        self.latest = {
            "done": done, "total": total, "unit": unit, "note": note, "rate": rate, "at": utc_now().isoformat(),
        }  # fmt: skip
        if now - self._stored_at >= PROGRESS_EVERY_S:
            self._stored_at = now
            advanced, self._unstored_advance = self._unstored_advance, False
            await self._ledger.progress(self.name, self.latest, advanced)
