"""The simulated cloud's process, as tests start and kill it."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

START_SECONDS = 20


class SimulatedCloudProcess:
    """May be killed and started again: it goes on from its state file."""

    def __init__(self, directory: Path, *, boot_delay: float = 0.05, lease: float = 30) -> None:
        self.socket = directory / "cloud.sock"
        self._arguments = [
            "--state", str(directory / "cloud.sqlite"), "--socket", str(self.socket),
            "--boot-delay", str(boot_delay), "--lease", str(lease),
        ]  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ccx.clouds.simulated.server", *self._arguments, preexec_fn=die_with_parent
        )
        async with asyncio.timeout(START_SECONDS):
            while not await self._answers():
                assert self._process.returncode is None, "the simulated cloud did not start"
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """SIGKILL: only what is on disk is left."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def simulated_cloud(*, boot_delay: float = 0.05, lease: float = 30) -> AsyncIterator[SimulatedCloudProcess]:
    """A simulated cloud of the test's own, gone afterwards."""
    with TemporaryDirectory(prefix="ccx-sim-") as directory:
        process = SimulatedCloudProcess(Path(directory), boot_delay=boot_delay, lease=lease)
        await process.start()
        try:
            yield process
        finally:
            await process.kill()


def die_with_parent() -> None:
    """A test run that is killed leaves no process behind (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
