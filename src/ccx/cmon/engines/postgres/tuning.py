"""PostgreSQL's parameters, computed from the size of the node."""

from __future__ import annotations

Parameters = dict[str, str | int | float | bool]


def shared(memory_mib: int, cpus: int) -> Parameters:
    """What must be the same on all members: standbys refuse to run with less than the primary has."""
    return {
        "max_connections": max(100, min(2000, memory_mib // 10)),
        "max_worker_processes": max(8, 2 * cpus),
        "max_prepared_transactions": 0,
        "max_locks_per_transaction": 64,
        "max_wal_senders": 16,
        # Patroni keeps a replaced member's for ten minutes: without one to spare, its successor could not stream.
        "max_replication_slots": 64,
        "wal_level": "replica",
        "wal_log_hints": True,
        "hot_standby": True,
    }


def of_size(memory_mib: int, cpus: int) -> Parameters:
    """All that is told a node of that size."""
    return {**shared(memory_mib, cpus), **own(memory_mib, cpus)}


def own(memory_mib: int, cpus: int) -> Parameters:
    """What follows the node's own size, and what every node has."""
    buffers = max(32, memory_mib // 4)
    connections = int(shared(memory_mib, cpus)["max_connections"])
    return {
        "shared_buffers": f"{buffers}MB",
        "effective_cache_size": f"{max(64, memory_mib * 3 // 4)}MB",
        "maintenance_work_mem": f"{max(16, min(2048, memory_mib // 16))}MB",
        # Every connection may sort and hash a few times over at once; together they stay within half of the rest.
        "work_mem": f"{max(1024, (memory_mib - buffers) * 1024 // 2 // connections // 2)}kB",
        "max_parallel_workers": max(2, cpus),
        "max_parallel_workers_per_gather": max(1, min(4, cpus // 2)),
        "min_wal_size": "128MB",
        "max_wal_size": "1GB",
        "wal_keep_size": "128MB",
        "wal_compression": "lz4",
        "checkpoint_completion_target": 0.9,
        "checkpoint_timeout": "15min",
        "random_page_cost": 1.1,
        "effective_io_concurrency": 200,
        # A standby that looks for its slot too early tries again soon.
        "wal_retrieve_retry_interval": "500ms",
        # A peer that went without a word is given up in seconds: writes wait for the synchronous one.
        "wal_sender_timeout": "5s",
        "wal_receiver_timeout": "5s",
        "wal_receiver_status_interval": "1s",
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
        "shared_preload_libraries": "pg_stat_statements",
        "password_encryption": "scram-sha-256",
        "log_checkpoints": True,
        "log_lock_waits": True,
        "log_line_prefix": "%m [%p] %q%u@%d ",
        # Statements hold data and, in CREATE ROLE, verifiers.
        "log_min_error_statement": "panic",
        "timezone": "UTC",
    }
