"""The local cloud's daemon as a part: started where it does not run, watched, and left running when we stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from ccx.embedded.layout import Layout
from ccx.embedded.part import Process
from ccx.embedded.processes import identify


class Adopted:
    """A process that may outlive us, followed until it ends. asyncio would kill a child of its own with its loop."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        """Raises ProcessLookupError. ``child``: it is ours, and reaped when it ends."""
        self.pid = pid
        self._child = child
        self.returncode: int | None = None
        self._handle = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._handle, self._end)

    async def wait(self) -> int:
        await self._ended.wait()
        return self.returncode or 0

    def send_signal(self, signal: int) -> None:
        os.kill(self.pid, signal)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        # Somebody else's child: they know more.
        self.returncode = 0 if self._child is None else self._child.wait()
        self._ended.set()


class CloudDaemon:
    """Root, in the host's namespaces: it makes machines. Datastores must not notice that we restart."""

    name = "cloud"
    stop_signal = None
    stop_within = 0.0

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    async def start(self) -> Process:
        if (running := self._running()) is not None:
            return running
        with (self._layout.logs / "cloud.log").open("ab") as log:
            child = await asyncio.to_thread(
                subprocess.Popen,
                [
                    sys.executable, "-m", "ccx.clouds.local.daemon", "--instance", self._layout.instance,
                    "--subnet", str(self._layout.subnet),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            )  # fmt: skip
        return Adopted(child.pid, child)

    async def ready(self) -> bool:
        return self._answers()

    async def when_ready(self) -> None:
        """Nothing to do: it takes its machines over by itself."""

    def _running(self) -> Adopted | None:
        """The daemon that an earlier supervisor started, if it still answers."""
        if not self._answers():
            return None
        with suppress(OSError, ValueError):
            pid = int(self._layout.cloud_pid_file.read_text().split()[0])
            if identify(pid) is not None:
                return Adopted(pid)
        return None

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self._layout.cloud_socket))
            except OSError:
                return False
            return True
