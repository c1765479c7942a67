"""What ``/proc`` tells about processes: who is still the same, what they weigh, who lives in a network namespace."""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROCESS_MADVISE, _MADV_PAGEOUT = 440, 21


@dataclass(frozen=True)
class Identity:
    """A process that can't be taken for a later one with the same pid."""

    pid: int
    started: int
    """Ticks after boot."""

    @property
    def alive(self) -> bool:
        return started(self.pid) == self.started

    @property
    def since(self) -> float:
        """Unix time of its start."""
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / _TICKS)


def identify(pid: int) -> Identity | None:
    """The running process of that pid; None when there is none (or only its remains)."""
    begun = started(pid)
    return None if begun is None else Identity(pid, begun)


def _stat(pid: int) -> list[str] | None:
    """Fields of ``/proc/<pid>/stat`` from the state on (the name before it may hold spaces)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def started(pid: int) -> int | None:
    """Start of the process in ticks after boot; None when it is gone or a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def cpu_seconds(pid: int) -> float:
    """Processor time that the process used so far, without its children."""
    fields = _stat(pid)
    return 0.0 if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """Proportional set size in bytes: shared pages count once over all who share them. 0 when it can't be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def page_out(pid: int, program: Path) -> None:
    """Gives back what the process holds of its program's file; the kernel reads again what it still needs. Root only.

    A large program holds after its start a hundred MiB that only its start needed.
    """

    class Range(ctypes.Structure):
        _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))

    libc = ctypes.CDLL(None, use_errno=True)
    with suppress(OSError):  # it has ended, or the kernel is too old: it stays as large as it is
        handle = os.pidfd_open(pid)
        try:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                if line.endswith(str(program)):
                    start, end = (int(bound, 16) for bound in line.split()[0].split("-"))
                    libc.syscall(_PROCESS_MADVISE, handle, ctypes.byref(Range(start, end - start)), 1, _MADV_PAGEOUT, 0)
        finally:
            os.close(handle)


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid in all_pids():
        if (fields := _stat(pid)) is not None:
            children.setdefault(int(fields[1]), []).append(pid)
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def inside_network(namespace_file: Path) -> list[int]:
    """All processes whose network namespace is the one that ``namespace_file`` stands for."""
    try:
        wanted = os.stat(namespace_file)
    except FileNotFoundError:
        return []
    members = []
    for pid in all_pids():
        try:
            seen = os.stat(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino) and started(pid) is not None:
            members.append(pid)
    return members
