"""What an action gets to see of its step."""

from __future__ import annotations

import asyncio
from typing import Any

from ccx.db import utc_now
from ccx.jobs.ledger import Ledger

PROGRESS_EVERY_S = 1.0


class Step:
    """A running step.

    Attributes:
        name: its name in the job.
        token: of this claim of the job; pass it to whatever can check it (tags on cloud resources, ``ccx-agent``). A
            later claim, of whichever job, has a higher one.
        attempt: 1 at the first try.
    """

    def __init__(
        self, name: str, token: int, attempt: int, ledger: Ledger, limit: asyncio.Timeout, timeout: float
    ) -> None:
        self.name = name
        self.token = token
        self.attempt = attempt
        self._ledger = ledger
        self._limit = limit
        self._timeout = timeout
        self._furthest = float("-inf")
        self._stored_at = float("-inf")
        self._unstored_advance = False
        self.latest: dict[str, Any] | None = None

    async def progress(
        self, done: float, total: float | None = None, unit: str | None = None, note: str | None = None
    ) -> None:
        """Report how far the step is. Call it as often as you like: it is stored at most once a second.

        As long as ``done`` grows, the step's time limit and the job's deadline start anew.

        Args:
            done: bytes, rows, a position in the log: whatever grows.
            total: what ``done`` will be in the end, if that is known.
            unit: of both: ``bytes``, ``lsn``.
            note: what is happening, in a few words.
        """
        now = asyncio.get_running_loop().time()
        if done > self._furthest:
            self._furthest = done
            self._unstored_advance = True
            self._limit.reschedule(now + self._timeout)
        self.latest = {"done": done, "total": total, "unit": unit, "note": note, "at": utc_now().isoformat()}
        if now - self._stored_at >= PROGRESS_EVERY_S:
            self._stored_at = now
            advanced, self._unstored_advance = self._unstored_advance, False
            await self._ledger.progress(self.name, self.latest, advanced)
