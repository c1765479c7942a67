"""Galera's own parameters, computed from the size of the node. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ccx.cmon.engines.mysql_family import tuning

_PROVIDER = 48
"""MiB of the provider: its index for certification, its queues."""
_APPLIER = 2
"""MiB of a thread that applies what others wrote."""


@dataclass(frozen=True)
class Sizes:
    server: tuning.Sizes
    """With what is left for it."""
    gcache: int
    """MiB of the last writes that are kept on the volume for members that come back. The kernel caches what it can."""
    appliers: int

    def memory(self) -> float:
        """MiB that the server takes at most, all connections busy."""
        return self.server.memory() + _PROVIDER + self.appliers * _APPLIER


def sizes(memory_mib: int, cpus: int) -> Sizes:
    """For a node of that memory and so many CPUs."""
    appliers = max(2, min(32, 2 * cpus))
    left = memory_mib - int((_PROVIDER + appliers * _APPLIER) / tuning.SHARE) - 1
    return Sizes(tuning.sizes(left, cpus), max(128, min(1024, memory_mib // 8)), appliers)


def of_size(memory_mib: int, cpus: int) -> dict[str, str]:
    """All that is told a node of that size, the provider's cache too."""
    return {**shown(memory_mib, cpus), "gcache.size": f"{sizes(memory_mib, cpus).gcache}M"}


def shown(memory_mib: int, cpus: int) -> dict[str, str]:
    """The same as the server's own parameters, but for the cache, which is an option of the provider."""
    size = sizes(memory_mib, cpus)
    of_server = tuning.shown_as(size.server)
    return {**of_server, "wsrep_slave_threads": str(size.appliers)}
