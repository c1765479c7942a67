"""The server's parameters, computed from the size of the node. Pure."""

from __future__ import annotations

from dataclasses import dataclass

BESIDE = 200
"""MiB that a node needs beside the server: the system, etcd, the keeper."""

SHARE = 0.9
"""Of a node's memory that all of it together may take."""

PER_CONNECTION = 1.25
"""MiB that a busy connection holds: its stack, its buffers for sorting, joining and reading, its part of the log."""

_FIXED = 96
"""MiB of the server whatever it does: its code, caches of tables and definitions, the small engines' buffers."""


@dataclass(frozen=True)
class Sizes:
    """MiB, but for counts."""

    buffer_pool: int
    log_file: int
    log_buffer: int
    connections: int
    io_threads: int
    parallel: int
    """Threads that apply what a replica received."""

    def memory(self) -> float:
        """MiB that the server takes at most, all connections busy."""
        return _FIXED + self.buffer_pool + self.log_buffer + self.connections * PER_CONNECTION


def sizes(memory_mib: int, cpus: int) -> Sizes:
    """For a node of that memory and so many CPUs: connections first, as people count on them; the rest is cache."""
    connections = max(60, min(2000, memory_mib // 10))
    log_buffer = 16 if memory_mib >= 2048 else 8
    left = memory_mib * SHARE - BESIDE - _FIXED - log_buffer - connections * PER_CONNECTION
    # The kernel's cache holds logs and temporary files: the pool is not to take all that is left.
    pool = max(32, int(min(left, memory_mib * 0.6)))
    return Sizes(
        buffer_pool=pool,
        log_file=max(48, min(2048, memory_mib // 8)),
        log_buffer=log_buffer,
        connections=connections,
        io_threads=max(2, min(16, cpus)),
        parallel=max(2, min(16, 2 * cpus)),
    )


def shown(memory_mib: int, cpus: int) -> dict[str, str]:
    """The same as the server's own parameters."""
    return shown_as(sizes(memory_mib, cpus))


def shown_as(size: Sizes) -> dict[str, str]:
    """These sizes as the server's own parameters."""
    return {
        "innodb_buffer_pool_size": f"{size.buffer_pool}M",
        "innodb_log_file_size": f"{size.log_file}M",
        "innodb_log_buffer_size": f"{size.log_buffer}M",
        "innodb_read_io_threads": str(size.io_threads),
        "innodb_write_io_threads": str(size.io_threads),
        "max_connections": str(size.connections),
        "slave_parallel_threads": str(size.parallel),
        "key_buffer_size": "8M",
        "aria_pagecache_buffer_size": "16M",
        "query_cache_type": "OFF",
        "query_cache_size": "0",
        "tmp_table_size": "16M",
        "max_heap_table_size": "16M",
        "table_open_cache": "1000",
        "performance_schema": "OFF",
    }
