"""Our own services as one part: all roles in one process, on sockets that outlive it."""

from __future__ import annotations

import asyncio
import signal
import sys

from ccx.embedded import chores, namespace
from ccx.embedded.layout import HTTP_PORT, Layout
from ccx.embedded.sandbox import Sandbox
from ccx.embedded.sockets import Sockets


class ControlPlane:
    """``ccx serve`` with every role. It is ready when its API says so, which asks the database."""

    name = "serve"
    stop_signal = signal.SIGTERM
    stop_within = 20.0

    def __init__(self, layout: Layout, sandbox: Sandbox, sockets: Sockets) -> None:
        self._layout = layout
        self._sandbox = sandbox
        self._sockets = sockets

    async def start(self) -> asyncio.subprocess.Process:
        # After an update it is newer code that starts here, and nodes must get the agent that it knows.
        await chores.do("packages", self._layout)
        return await self._sandbox.start(
            [
                sys.executable, "-I", "-B", "-m", "ccx.embedded.serve", "--instance", self._layout.instance,
                "--sockets", self._sockets.argument(), "--runner", f"up-{self._layout.instance}",
            ],
            log=self._layout.logs / "serve.log",
            # Jobs survive a killed runner; a half-stopped one beside its successor would only cost time.
            death_signal=signal.SIGKILL,
            sockets=self._sockets.numbers,
        )  # fmt: skip

    async def ready(self) -> bool:
        return await namespace.http_status(self._layout, HTTP_PORT, "/api/health") == 200

    async def when_ready(self) -> None:
        """Nothing to do: it migrates the database itself."""
