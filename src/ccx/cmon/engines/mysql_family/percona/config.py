"""What is written to a node of Percona Server: pure functions from the cluster's specification to files."""

from __future__ import annotations

from collections.abc import Sequence

from ccx.cmon.engines.mysql_family import config
from ccx.cmon.engines.mysql_family.layout import CONFIGURATION, MYSQL, VOLUME, server_id
from ccx.cmon.engines.mysql_family.percona import tuning
from ccx.cmon.engines.mysql_family.percona.flavour import PERCONA
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec

_FOR_EVER_MS = 2**32 - 1
"""The longest that there is: 49 days."""
_NO_LONGER_MS = 10_000
"""With two nodes losing the replica must not stop the primary."""
PLUGINS = ("auth_socket.so", "semisync_source.so", "semisync_replica.so", "mysql_clone.so")


def node_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    return config.replication_files(PERCONA, cluster, label, server_text(cluster, cluster.node(label)))


def server_text(cluster: ClusterSpec, node: NodeSpec) -> str:
    """The server's configuration. It starts read-only and follows nobody: who leads is the keeper's to say."""
    size = len(cluster.nodes)
    settings = {
        **common(node, PLUGINS),
        "relay_log": VOLUME / "binlog" / "relay",
        "skip_replica_start": "ON",
        "relay_log_recovery": "ON",
        "replica_net_timeout": 4,
        "rpl_semi_sync_replica_enabled": "ON",
        "rpl_semi_sync_source_wait_point": "AFTER_SYNC",
        # From three nodes on, a write waits for a second copy rather than do without.
        "rpl_semi_sync_source_timeout": _FOR_EVER_MS if size >= 3 else _NO_LONGER_MS,
        "super_read_only": "ON",
        **tuning.shown(cluster.memory_mib, cluster.cpus),
    }
    return config.section(PERCONA.section, settings)


def common(node: NodeSpec, plugins: Sequence[str]) -> dict[str, object]:
    """What a server of any topology is told: where its data are, and that it demands TLS."""
    return {
        "datadir": VOLUME / "data",
        "socket": PERCONA.run / "mysqld.sock",
        "pid_file": PERCONA.run / "mysqld.pid",
        "bind_address": node.address,
        "port": MYSQL,
        "mysqlx": "OFF",
        "skip_name_resolve": "ON",
        "plugin_load_add": ";".join(plugins),
        # Of Percona's alone: MySQL goes on without it.
        "loose_percona_telemetry_disable": "ON",
        "server_id": server_id(node),
        "log_bin": VOLUME / "binlog" / "binlog",
        "log_replica_updates": "ON",
        "gtid_mode": "ON",
        "enforce_gtid_consistency": "ON",
        "sync_binlog": 1,
        "innodb_flush_log_at_trx_commit": 1,
        "binlog_expire_logs_seconds": 3 * 24 * 3600,
        "max_binlog_size": "128M",
        "require_secure_transport": "ON",
        **certificates(),
        "tls_version": "TLSv1.2,TLSv1.3",
        # Passwords come by TLS, or not at all.
        "auto_generate_certs": "OFF",
        "caching_sha2_password_auto_generate_rsa_keys": "OFF",
        "local_infile": "OFF",
        "secure_file_priv": "NULL",
        "event_scheduler": "OFF",
        "character_set_server": "utf8mb4",
        "default_time_zone": "+00:00",
    }


def certificates() -> dict[str, object]:
    """Where the node's certificate, its key and the CA are."""
    files = {"ssl_ca": "ca.crt", "ssl_cert": "node.crt", "ssl_key": "node.key"}
    return {name: CONFIGURATION / file for name, file in files.items()}
