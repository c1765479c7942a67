"""What the supervisor knows of a part: how to start it, when it is ready, how it wants to be stopped."""

from __future__ import annotations

import signal
from typing import Protocol


class Process(Protocol):
    """A running process; ``asyncio.subprocess.Process`` is one."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """None while it runs."""

    async def wait(self) -> int:
        """Returns when it has ended."""

    def send_signal(self, signal: int) -> None: ...

    def kill(self) -> None: ...


class Part(Protocol):
    """A long-lived process of the control plane. Each attempt to start it is one call of ``start``."""

    @property
    def name(self) -> str: ...

    @property
    def stop_signal(self) -> signal.Signals | None:
        """How it is told to stop; None for one that outlives the control plane."""

    @property
    def stop_within(self) -> float:
        """Seconds it gets to stop in order before it is killed."""

    async def start(self) -> Process:
        """Starts the process; what it needs on disk is made first. Called again after a crash."""

    async def ready(self) -> bool:
        """Whether it does its work now. Cheap: asked several times a second until it is."""

    async def when_ready(self) -> None:
        """Done once after each start, as soon as it is ready and before the next part starts."""
