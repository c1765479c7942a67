"""The time that an attempt has."""

from __future__ import annotations

import time


class Clock:
    """Counts down from ``limit`` seconds, and keeps how long each stage took."""

    def __init__(self, limit: float) -> None:
        self._end = time.monotonic() + limit
        self._stage = ""
        self._began = 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, stage: str) -> None:
        """The next stage."""
        self.stop()
        self._stage, self._began = stage, time.monotonic()

    def stop(self) -> None:
        if self._stage:
            self.seconds[self._stage] = round(time.monotonic() - self._began, 4)
            self._stage = ""

    def left(self) -> float:
        """Seconds that are left. Raises TimeoutError when none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
