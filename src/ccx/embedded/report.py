"""Tells a person, on whatever ``ccx up`` was started from, what starts and how long it took."""

from __future__ import annotations

import os
import time
from contextlib import suppress


class Report:
    """Lines to a file descriptor. When the reader went away, nobody listens and the work goes on."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor

    def line(self, text: str) -> None:
        with suppress(OSError):
            os.write(self._descriptor, (text + "\n").encode())

    def ready(self, part: str, began: float, note: str = "") -> None:
        """``began`` is a :func:`time.monotonic` moment."""
        self.line(f"  {part:<14} ready  {time.monotonic() - began:6.2f} s  {note}".rstrip())
