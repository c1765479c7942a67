"""Processes that outlive us: told apart from later ones of the same pid, and watched without being their parent."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def started(pid: int) -> int | None:
    """When the process began, in ticks after boot; None when it is gone (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def find_init(pids: Iterable[int]) -> int | None:
    """The one that is PID 1 of a process namespace right below ours: a machine's init."""
    depth = len(_namespace_pids(os.getpid())) + 1
    for pid in pids:
        numbers = _namespace_pids(pid)
        if len(numbers) == depth and numbers[-1] == 1:
            return pid
    return None


def _namespace_pids(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(number) for number in line.split()[1:]]
    return []


class Watched:
    """A process held by its pidfd: its end is known at once, and no signal can hit a successor of its pid."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it is gone."""
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self.ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._end)

    def kill(self) -> None:
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def close(self) -> None:
        if not self.ended.is_set():
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.ended.set()
