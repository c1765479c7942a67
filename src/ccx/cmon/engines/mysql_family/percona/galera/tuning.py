"""A member's parameters, computed from the size of the node: what Percona Server takes, and what Galera does. Pure."""

from __future__ import annotations

from ccx.cmon.engines.mysql_family import tuning as family
from ccx.cmon.engines.mysql_family.galera import tuning as galera
from ccx.cmon.engines.mysql_family.percona import tuning as percona

_REPLICAS_ALONE = "replica_parallel_workers"


def sizes(memory_mib: int, cpus: int) -> galera.Sizes:
    """For a node of that memory and so many CPUs."""
    return galera.sizes(memory_mib - int(percona.MORE_THAN_MARIADB / family.SHARE) - 1, cpus)


def memory(size: galera.Sizes) -> float:
    """MiB that the server takes at most, all connections busy."""
    return size.memory() + percona.MORE_THAN_MARIADB


def of_size(memory_mib: int, cpus: int) -> dict[str, str]:
    """All that is told a node of that size, the provider's cache too."""
    return {**shown(memory_mib, cpus), "gcache.size": f"{sizes(memory_mib, cpus).gcache}M"}


def shown(memory_mib: int, cpus: int) -> dict[str, str]:
    """The same as the server's own parameters, but for the cache, which is an option of the provider."""
    size = sizes(memory_mib, cpus)
    of_server = {n: v for n, v in percona.shown_as(size.server).items() if n != _REPLICAS_ALONE}
    # So called since 8.0.26; the old name is to go.
    return {**of_server, "wsrep_applier_threads": str(size.appliers)}
