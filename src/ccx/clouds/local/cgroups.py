"""Every machine runs in a control group of its own: it bounds memory and CPU, lists its processes and kills them all.

On a host run by systemd the groups are scopes that systemd makes for us; elsewhere they are folders of our own.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_OWN_MOUNT = Path("/run/ccx/cgroup")
_POLL_S = 0.01
_CPU_PERIOD_US = 10_000
"""A machine that has used up its processors stands still until the next one: with the usual 100 ms a query feels it."""


@dataclass(frozen=True)
class Group:
    """The control group of one machine (or of the resolver): ``name`` is unique in the instance."""

    instance: str
    name: str

    @property
    def path(self) -> Path:
        return instance_group(self.instance) / (f"{self.name}.scope" if on_systemd() else self.name)

    def processes(self) -> list[int]:
        """All of them, in whatever groups a machine's init has put them below ours."""
        return processes_below(self.path)

    @property
    def populated(self) -> bool:
        return _populated(self.path)

    def kill(self) -> None:
        """Kills every process at once; none can escape by forking. Returns before they are gone."""
        kill_below(self.path)

    async def emptied(self, within: float) -> bool:
        """Waits until no process of it lives; False after ``within`` seconds."""
        deadline = asyncio.get_running_loop().time() + within
        while self.populated:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def remove(self) -> None:
        """Removes the empty group; on systemd hosts it goes by itself."""
        if not on_systemd():
            _remove_tree(self.path)
            for controller in ("memory", "cpu"):
                _remove_tree(_v1(controller, self.instance) / self.name)

    def launcher(self, cpus: int, memory: int) -> list[str]:
        """What to put before a command so that it runs in this group. ``memory`` in bytes; 0 means no limit."""
        if on_systemd():
            limits = ["-p", f"CPUQuota={cpus * 100}%", "-p", f"CPUQuotaPeriodSec={_CPU_PERIOD_US}us"] if cpus else []
            limits += ["-p", f"MemoryMax={memory}"] if memory else []
            return [
                "systemd-run", "--scope", "--quiet", "--collect", f"--unit={self.name}.scope",
                f"--slice={_slice(self.instance)}", "-p", "Delegate=yes", *limits, "--",
            ]  # fmt: skip
        if not self.populated:
            # Afresh: Linux 6.15 and later remember that a group was killed, and kill what is forked from it into
            # groups that were not, or the other way round. Of a machine's second boot most services would die.
            _remove_tree(self.path)
        groups = [self._make(self.path)]
        for controller, file, value in self._limits(cpus, memory):
            if (folder := _v1(controller, self.instance)).parent.is_dir():
                self._make(folder / self.name)
                groups.append(folder / self.name)
                (folder / self.name / file[0]).write_text(value[0])
            else:
                with suppress(OSError):  # no such controller here: run without its limit
                    (self.path / file[1]).write_text(value[1])
        enter = 'for group in $CCX_GROUPS; do echo $$ > $group/cgroup.procs; done; unset CCX_GROUPS; exec "$@"'
        return ["env", f"CCX_GROUPS={' '.join(map(str, groups))}", "sh", "-euc", enter, "ccx-enter"]

    def _make(self, path: Path) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        if path == self.path:
            for parent in (path.parent.parent, path.parent):
                for controller in ("+memory", "+cpu", "+io", "+pids"):
                    with suppress(OSError):  # held by a v1 hierarchy, or not built into this kernel
                        (parent / "cgroup.subtree_control").write_text(controller)
        return path

    @staticmethod
    def _limits(cpus: int, memory: int) -> list[tuple[str, tuple[str, str], tuple[str, str]]]:
        """Controller, its file and value in version 1 and in version 2."""
        limits = []
        if memory:
            limits.append(("memory", ("memory.limit_in_bytes", "memory.max"), (str(memory), str(memory))))
        if cpus:
            quota = str(cpus * _CPU_PERIOD_US)
            period = str(_CPU_PERIOD_US)
            limits.append(("cpu", ("cpu.cfs_period_us", "cpu.max"), (period, f"{quota} {period}")))
            limits.append(("cpu", ("cpu.cfs_quota_us", "cpu.max"), (quota, f"{quota} {period}")))
        return limits


def on_systemd() -> bool:
    """Whether systemd runs this host, and with it owns the tree of control groups."""
    return Path("/run/systemd/system").is_dir()


def is_unified() -> bool:
    """Whether the host's only hierarchy is version 2, as a machine's init needs it."""
    return root() == Path("/sys/fs/cgroup")


@cache
def root() -> Path:
    """The version 2 hierarchy; mounted by us where the host has none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split()[0] == "cgroup2":
            return Path(fields.split()[4])
    _OWN_MOUNT.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", str(_OWN_MOUNT)], check=True)
    return _OWN_MOUNT


def instance_group(instance: str) -> Path:
    """What holds all groups of an instance."""
    if on_systemd():
        return root() / "ccx.slice" / _slice(instance)
    return root() / f"ccx-{instance}"


def groups(instance: str) -> list[str]:
    """Names of the groups that exist, whoever knows of them."""
    folder = instance_group(instance)
    found = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return [name.removesuffix(".scope") for name in found]


def processes_below(path: Path) -> list[int]:
    found = []
    for folder, _, files in os.walk(path):
        if "cgroup.procs" in files:
            with suppress(OSError):
                found += [int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split()]
    return found


def kill_below(path: Path) -> None:
    with suppress(FileNotFoundError):
        (path / "cgroup.kill").write_text("1")


def remove_instance(instance: str) -> None:
    """Removes the instance's emptied groups."""
    if on_systemd():
        subprocess.run(["systemctl", "--quiet", "stop", _slice(instance)], check=False, capture_output=True)
        return
    _remove_tree(instance_group(instance))
    for controller in ("memory", "cpu"):
        _remove_tree(_v1(controller, instance))


def _populated(path: Path) -> bool:
    try:
        return "populated 1" in (path / "cgroup.events").read_text()
    except (FileNotFoundError, OSError):
        return False


def _remove_tree(path: Path) -> None:
    for folder, _, _ in os.walk(path, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)


def _v1(controller: str, instance: str) -> Path:
    return Path("/sys/fs/cgroup") / controller / f"ccx-{instance}"


def _slice(instance: str) -> str:
    # A hyphen in a slice's name is a level of its own; instances have no underscores.
    return f"ccx-{instance.replace('-', '_')}.slice"
