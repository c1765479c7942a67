"""One machine: started, noticed when it ends, stopped with certainty. It lives on when we don't."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ccx.clouds.base import ServerState, Unavailable, Unconfirmed
from ccx.clouds.local import boot, volumes
from ccx.clouds.local.cgroups import Group
from ccx.clouds.local.processes import Watched, find_init
from ccx.clouds.local.shell import SEARCH_PATH

CONFIRMED_WITHIN_S = 10.0
_INIT_WITHIN_S = 15.0
_POLL_S = 0.01
_LARGEST_CONSOLE = 1 << 20

Report = Callable[[str, ServerState, float], None]


class Machine:
    """The running side of a server. ``report`` is told every stop and start, with the moment that it was noticed."""

    def __init__(self, name: str, group: Group, report: Report) -> None:
        self.name = name
        self.group = group
        self._report = report
        self._init: Watched | None = None
        self._booting = False
        self._watcher: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> ServerState:
        if self._booting:
            return ServerState.PENDING
        return ServerState.RUNNING if self._init and not self._init.ended.is_set() else ServerState.STOPPED

    def adopt(self) -> bool:
        """Takes over a machine that an earlier daemon started. False when its init does not run."""
        return self._watch(find_init(self.group.processes()))

    async def boot(self, plan: boot.Blueprint) -> None:
        """Returns when the machine's init runs. Raises Unavailable, with the last words of the attempt."""
        self._booting = True
        try:
            await self._end_remains()
            if plan.volume is not None:
                await volumes.released(plan.volume)
            await asyncio.to_thread(boot.prepare, plan)
            if plan.console.exists() and plan.console.stat().st_size > _LARGEST_CONSOLE:
                plan.console.unlink()
            self._process = await asyncio.to_thread(_start, boot.command(plan, self.group), plan.console)
            if not await self._find_init(self._process):
                self.group.kill()
                raise Unavailable(f"{self.name} did not boot: {_last_words(plan)}")
        finally:
            self._booting = False
        self._report(self.name, ServerState.RUNNING, time.time())

    async def power_off(self, within: float = CONFIRMED_WITHIN_S) -> None:
        """Kills it and returns when it is certain that none of its processes lives. Raises Unconfirmed."""
        if self._init is not None:
            self._init.kill()
        self.group.kill()
        if not await self.group.emptied(within):
            raise Unconfirmed(
                f"{self.name} was told to stop {within:.0f} s ago and still has processes",
                remedy="Look for processes that hang in the kernel on the host: ps -eo pid,stat,wchan,cmd",
            )
        if self._init is not None:
            await self._init.ended.wait()

    def crash(self) -> None:
        """Ends it as a failing host would; the end is noticed like any other."""
        if self._init is not None:
            self._init.kill()

    def close(self) -> None:
        """Stops watching. The machine goes on."""
        if self._watcher is not None:
            self._watcher.cancel()
        if self._init is not None:
            self._init.close()

    async def _end_remains(self) -> None:
        """A supervisor that lost its machine, or what a broken-off boot left."""
        if self.group.populated:
            self.group.kill()
            if not await self.group.emptied(CONFIRMED_WITHIN_S):
                raise Unavailable(f"{self.name} has processes of an earlier run that don't end")

    async def _find_init(self, process: subprocess.Popen[bytes]) -> bool:
        """Waits for the init to appear, and watches it. False when the attempt ended first, or takes too long."""
        deadline = asyncio.get_running_loop().time() + _INIT_WITHIN_S
        while asyncio.get_running_loop().time() < deadline and process.poll() is None:
            if self._watch(find_init(self.group.processes())):
                return True
            await asyncio.sleep(_POLL_S)
        return False

    def _watch(self, pid: int | None) -> bool:
        if pid is None:
            return False
        try:
            init = Watched(pid)
        except ProcessLookupError:
            return False
        self._init = init
        self._watcher = asyncio.create_task(self._until_it_ends(init))
        return True

    async def _until_it_ends(self, init: Watched) -> None:
        """Reports the end, and a beginning again when the machine restarted itself."""
        await init.ended.wait()
        self._report(self.name, ServerState.STOPPED, time.time())
        while self.group.populated and self._init is init:
            if self._watch(find_init(self.group.processes())):
                self._report(self.name, ServerState.RUNNING, time.time())
                return
            await asyncio.sleep(_POLL_S)
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)  # it was our child, if we started it


def _start(command: list[str], console: Path) -> subprocess.Popen[bytes]:
    """Not asyncio's: that kills its children when it is collected, and this one is to outlive us."""
    with console.open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
            env={"PATH": SEARCH_PATH, "LANG": "C.UTF-8"},
        )  # fmt: skip


def _last_words(plan: boot.Blueprint) -> str:
    with suppress(OSError):
        lines = plan.console.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return "it said nothing"
