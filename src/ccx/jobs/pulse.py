"""Whether this process lives in the same time as the others: was it frozen, and how long has it seen the database?"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import structlog

logger = structlog.get_logger(__name__)


def boot_time_s() -> float:
    """A clock that nobody sets, and that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def leave() -> None:
    """End the process at once, without tidying: what it holds may be somebody else's. A supervisor starts it again."""
    os._exit(75)


class Pulse:
    """The runner's sense of time.

    Args:
        lease: seconds.
        on_frozen: called when the process turns out to have stood still for longer than its lease.
    """

    def __init__(
        self, lease: float, on_frozen: Callable[[], None] = leave, clock: Callable[[], float] = boot_time_s
    ) -> None:
        self._lease = lease
        self._on_frozen = on_frozen
        self._clock = clock
        self._last = clock()
        self._connected_since: float | None = None

    def check(self) -> None:
        """Note that the process runs. If it did not for longer than a lease, others have its jobs by now."""
        now = self._clock()
        gap = now - self._last
        self._last = now
        if gap > self._lease:
            logger.error("this runner was frozen for longer than its lease", seconds=round(gap, 1))
            self._connected_since = None
            self._on_frozen()

    async def beat(self) -> None:
        """Check for ever."""
        while True:
            self.check()
            await asyncio.sleep(self._lease / 5)

    def answered(self) -> None:
        """The database answered."""
        if self._connected_since is None:
            self._connected_since = self._clock()

    def disconnected(self) -> None:
        """The database could not be reached: that is no time in which others could have shown that they live."""
        self._connected_since = None

    def may_judge(self) -> bool:
        """Whether an expired lease means that its holder is dead, rather than that the database was away."""
        return self._connected_since is not None and self._clock() - self._connected_since > self._lease
