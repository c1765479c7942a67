"""What this machine can hold. Volumes are sparse and memory is rarely used up, so both are sold over, within limits."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ccx.clouds.base import NoCapacity

_GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """How often disk and memory may be sold."""

    disk: float = 3.0
    memory: float = 4.0


@dataclass(frozen=True)
class Host:
    """What there is, in GiB."""

    memory: float
    disk_free: float
    """What volumes could still take, and what they take already."""

    @classmethod
    def look(cls, folder: Path, occupied: int) -> Host:
        """This machine, with ``occupied`` bytes of the disk behind ``folder`` taken by volumes already."""
        disk = os.statvfs(folder)
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(memory / _GIB, (disk.f_bavail * disk.f_frsize + occupied) / _GIB)


def check(
    host: Host, limits: Limits, volumes: Iterable[int], new_volumes: Iterable[int], ram: int, new_ram: int
) -> None:
    """Raises NoCapacity, naming what is short and what there is, when the new ones don't fit beside the present ones.

    All sizes in GiB. CPUs are shared without a limit.
    """
    wanted = list(new_volumes)
    largest = max(wanted, default=0)
    if largest > host.disk_free:
        raise NoCapacity(
            f"a volume of {largest} GiB does not fit: {host.disk_free:.0f} GiB are free on this machine's disk",
            field="volume_size", remedy=f"Ask for at most {int(host.disk_free)} GiB, or free disk under /var/lib/ccx",
        )  # fmt: skip
    sold, room = sum(volumes), limits.disk * host.disk_free
    if wanted and sold + sum(wanted) > room:
        raise NoCapacity(
            f"{sum(wanted)} GiB of volumes do not fit: {sold} GiB are given out of {room:.0f} GiB, "
            f"{limits.disk:g} times what is free on this machine's disk",
            field="volume_size", remedy="Ask for smaller volumes, delete datastores, or free disk under /var/lib/ccx",
        )  # fmt: skip
    room = limits.memory * host.memory
    if new_ram and ram + new_ram > room:
        raise NoCapacity(
            f"{new_ram} GiB of memory do not fit: {ram} GiB are given out of {room:.0f} GiB, "
            f"{limits.memory:g} times what this machine has",
            field="instance_size", remedy="Ask for a smaller instance size or fewer nodes, or delete datastores",
        )  # fmt: skip
