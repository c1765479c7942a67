"""The server's parameters, computed from the size of the node. Pure."""

from __future__ import annotations

from ccx.cmon.engines.mysql_family import tuning

MORE_THAN_MARIADB = 160
"""MiB that MySQL takes whatever it does, beyond what MariaDB does: its dictionary, its caches, its code."""


def sizes(memory_mib: int, cpus: int) -> tuning.Sizes:
    """For a node of that memory and so many CPUs."""
    return tuning.sizes(memory_mib - int(MORE_THAN_MARIADB / tuning.SHARE) - 1, cpus)


def memory(size: tuning.Sizes) -> float:
    """MiB that the server takes at most, all connections busy."""
    return size.memory() + MORE_THAN_MARIADB


def shown(memory_mib: int, cpus: int) -> dict[str, str]:
    """The same as the server's own parameters."""
    return shown_as(sizes(memory_mib, cpus))


def shown_as(size: tuning.Sizes) -> dict[str, str]:
    """These sizes as the server's own parameters."""
    return {
        "innodb_buffer_pool_size": f"{size.buffer_pool}M",
        "innodb_redo_log_capacity": f"{2 * size.log_file}M",
        "innodb_log_buffer_size": f"{size.log_buffer}M",
        "innodb_read_io_threads": str(size.io_threads),
        "innodb_write_io_threads": str(size.io_threads),
        "max_connections": str(size.connections),
        "replica_parallel_workers": str(size.parallel),
        "key_buffer_size": "8M",
        "tmp_table_size": "16M",
        "max_heap_table_size": "16M",
        "temptable_max_ram": "32M",
        "table_open_cache": "1000",
        "table_definition_cache": "800",
        "performance_schema": "OFF",
    }
