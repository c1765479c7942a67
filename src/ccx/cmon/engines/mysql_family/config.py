"""Everything that is written to a node: pure functions from the cluster's specification to files."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ccx.cmon.engines.mysql_family import tuning
from ccx.cmon.engines.mysql_family.layout import (
    CONFIGURATION,
    KEEPER,
    KEEPER_UNIT,
    LOG_KEPT,
    MYSQL,
    REPLICATION_USER,
    USER,
    VOLUME,
    Flavour,
    server_id,
)
from ccx.cmon.engines.mysql_family.units import keeper_unit, server_unit
from ccx.cmon.etcd import files as etcd_files
from ccx.cmon.etcd.layout import ETCD_UNIT, carries_etcd, client_url, etcd_members, peer_url
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec

SERVER_FILE, KEEPER_FILE = f"{CONFIGURATION}/my.cnf", f"{CONFIGURATION}/keeper.json"

INCLUDED = f"!include {LOG_KEPT}\n"
_FOR_EVER_MS = 10**12
_NO_LONGER_MS = 10_000
"""With two nodes losing the replica must not stop the primary."""


def node_files(flavour: Flavour, cluster: ClusterSpec, label: str) -> list[NodeFile]:
    """All files of a node of MariaDB."""
    server = server_text(flavour, cluster, cluster.node(label)) + INCLUDED
    return replication_files(flavour, cluster, label, server)


def replication_files(flavour: Flavour, cluster: ClusterSpec, label: str, server: str) -> list[NodeFile]:
    """All files of a node of a new cluster. One that joins is told so by another :func:`keeper_file`.

    ``server``: the server's configuration.
    """
    node = cluster.node(label)
    files = [
        *tls_files(cluster, label),
        NodeFile(SERVER_FILE, server),
        keeper_file(flavour, cluster, node),
        NodeFile(f"/etc/systemd/system/{flavour.unit}", server_unit(flavour)),
        NodeFile(f"/etc/systemd/system/{KEEPER_UNIT}", keeper_unit(flavour)),
    ]
    if carries_etcd(cluster, label):
        initial = {member.label: peer_url(member) for member in etcd_members(cluster.nodes)}
        files += [
            etcd_files.etcd_environment(cluster, node, initial),
            NodeFile(f"/etc/systemd/system/{ETCD_UNIT}", etcd_files.UNIT_TEXT),
        ]
    return files


def tls_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    """The node's certificate, key and CA, for each who reads them."""
    files = etcd_files.tls_files(cluster, label, CONFIGURATION, USER)
    return [*files, *etcd_files.tls_files(cluster, label)] if carries_etcd(cluster, label) else files


def server_text(flavour: Flavour, cluster: ClusterSpec, node: NodeSpec) -> str:
    """The server's configuration. It starts read-only and follows nobody: who leads is the keeper's to say."""
    size = len(cluster.nodes)
    settings = {
        **common(flavour, cluster, node),
        "server_id": server_id(node),
        "relay_log": VOLUME / "binlog" / "relay",
        "skip_slave_start": "ON",
        "relay_log_recovery": "ON",
        "slave_net_timeout": 4,
        "rpl_semi_sync_slave_enabled": "ON",
        "rpl_semi_sync_master_wait_point": "AFTER_SYNC",
        # From three nodes on, a write waits for a second copy rather than do without.
        "rpl_semi_sync_master_timeout": _FOR_EVER_MS if size >= 3 else _NO_LONGER_MS,
        # Who stops to receive tells its source, and waits for an answer: of one that is gone there is none.
        "rpl_semi_sync_slave_kill_conn_timeout": 1,
        **log_limits(cluster.version, min(1, size - 1)),
        **tuning.shown(cluster.memory_mib, cluster.cpus),
    }
    return section(flavour.section, settings)


def common(flavour: Flavour, cluster: ClusterSpec, node: NodeSpec) -> dict[str, object]:
    """What a server of any topology is told: where its data are, that it starts read-only, and that it demands TLS."""
    return {
        "datadir": VOLUME / "data",
        "socket": flavour.run / "mysqld.sock",
        "pid_file": flavour.run / "mysqld.pid",
        "bind_address": node.address,
        "port": MYSQL,
        "skip_name_resolve": "ON",
        "log_bin": VOLUME / "binlog" / "binlog",
        "log_slave_updates": "ON",
        "binlog_format": "ROW",
        "gtid_strict_mode": "ON",
        "sync_binlog": 1,
        "innodb_flush_log_at_trx_commit": 1,
        "binlog_expire_logs_seconds": 3 * 24 * 3600,
        "max_binlog_size": "128M",
        "read_only": "ON",
        "require_secure_transport": "ON",
        "ssl_ca": CONFIGURATION / "ca.crt",
        "ssl_cert": CONFIGURATION / "node.crt",
        "ssl_key": CONFIGURATION / "node.key",
        "tls_version": "TLSv1.2,TLSv1.3",
        "local_infile": "OFF",
        "event_scheduler": "OFF",
        "character_set_server": "utf8mb4",
        "default_time_zone": "+00:00",
    }


def section(name: str, settings: Mapping[str, object]) -> str:
    """Of the server's configuration file."""
    return "".join(f"{line}\n" for line in (f"[{name}]", *(f"{n} = {v}" for n, v in settings.items())))


def log_limits(version: str, replicas: int) -> dict[str, object]:
    """What not all versions know: the log of changes is kept from filling the volume.

    ``replicas``: how many of them have to be connected for that.
    """
    if tuple(map(int, version.split("."))) < (11, 4):
        return {}
    return {"max_binlog_total_size": "2G", "slave_connections_needed_for_purge": replicas}


def keeper_file(flavour: Flavour, cluster: ClusterSpec, node: NodeSpec, *, joining: bool = False) -> NodeFile:
    """What the keeper and the script that prepares the data are told. It holds the replicas' password.

    ``joining``: where there are no data yet, they are copied from the cluster's primary.
    """
    told = {
        **common_to_keepers(flavour, cluster, node),
        "scope": cluster.short_id,
        "etcd": [client_url(member) for member in etcd_members(cluster.nodes)],
        "rebuild_file": str(VOLUME / "rebuild"),
        "copied_file": str(VOLUME / "copied"),
        "joining": joining,
        "replication": {"user": REPLICATION_USER, "password": cluster.secrets.replication},
    }
    return NodeFile(KEEPER_FILE, json.dumps(told, indent=1), "0600", USER)


def common_to_keepers(flavour: Flavour, cluster: ClusterSpec, node: NodeSpec) -> dict[str, object]:
    """What the keeper of any topology is told."""
    tls = {"ca": "ca.crt", "certificate": "node.crt", "key": "node.key"}
    return {
        "label": node.label,
        "address": node.address,
        "port": KEEPER,
        "tls": {name: f"{CONFIGURATION}/{file}" for name, file in tls.items()},
        "socket": str(flavour.run / "mysqld.sock"),
        "pid_file": str(flavour.run / "mysqld.pid"),
        "progress_file": str(flavour.run / "copied-bytes"),
        "data": str(VOLUME / "data"),
        "binlogs": str(VOLUME / "binlog"),
        "errant": str(VOLUME / "errant"),
        "server": flavour.server,
        "server_file": SERVER_FILE,
        "copy": [*flavour.copy[:1], f"--defaults-file={SERVER_FILE}", *flavour.copy[1:]] if flavour.copy else [],
    }
