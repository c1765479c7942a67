"""What the supervisor knows of a part: how to start it, when it is ready, how it wants to be stopped."""

from __future__ import annotations

import asyncio
import signal
from typing import Protocol


class Part(Protocol):
    """A long-lived process of the control plane. Each attempt to start it is one call of ``start``."""

    name: str
    stop_signal: signal.Signals
    stop_within: float
    """Seconds it gets to stop in order before it is killed."""

    async def start(self) -> asyncio.subprocess.Process:
        """Starts the process; what it needs on disk is made first. Called again after a crash."""

    async def ready(self) -> bool:
        """Whether it does its work now. Cheap: asked several times a second until it is."""

    async def when_ready(self) -> None:
        """Done once after each start, as soon as it is ready and before the next part starts."""
