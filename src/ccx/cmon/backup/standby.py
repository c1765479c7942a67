"""A backup that is made on a replica: which one, and how pgBackRest gets there what only the primary has.

The replica copies nearly all of it; the primary begins and ends the backup, and gives what is not replicated. For that
it runs pgBackRest's own server, for as long as the backup takes, and serves that one replica (mutual TLS).
"""

from __future__ import annotations

from ccx.cmon.backup import pgbackrest
from ccx.cmon.backup.archiving import FOLDER
from ccx.cmon.backup.base import Repository
from ccx.cmon.engines.postgres.config import SOCKET
from ccx.cmon.engines.postgres.layout import BACKUP, CONFIGURATION, data_directory
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, ClusterView, NodeSpec, Role

CONFIGURED_BY, SERVER = f"{FOLDER}/standby.conf", f"{FOLDER}/server.conf"

LAG_BOUND = 16 * 2**20
"""Bytes of the log that a replica may be behind: the backup waits until it has what was written before."""
_CA, _CERTIFICATE, _KEY = (f"{CONFIGURATION}/{file}" for file in ("ca.crt", "node.crt", "node.key"))


def choose(view: ClusterView) -> str | None:
    """The label of the replica to back up on, or None where none is good: one that streams, and keeps up.

    One that commits do not wait for goes first, then the one that is least behind.
    """
    good = [
        member
        for member in view.members
        if member.role is Role.REPLICA
        and member.healthy
        and member.label not in view.unreachable
        and member.lag_bytes is not None
        and member.lag_bytes <= LAG_BOUND
    ]
    best = min(good, key=lambda member: (member.synchronous, member.lag_bytes, member.label), default=None)
    return best.label if best else None


def replica_files(cluster: ClusterSpec, repository: Repository, primary: NodeSpec) -> list[NodeFile]:
    """The settings of a backup on a replica, beside those that every node has."""
    other = {
        "pg2-path": data_directory(cluster.version),
        "pg2-socket-path": SOCKET,
        "pg2-host": primary.hostname,
        "pg2-host-type": "tls",
        "pg2-host-port": BACKUP,
        "pg2-host-config": SERVER,
        "pg2-host-ca-file": _CA,
        "pg2-host-cert-file": _CERTIFICATE,
        "pg2-host-key-file": _KEY,
    }
    text = pgbackrest.text_of(cluster, repository, {"backup-standby": "y"}, other)
    return [NodeFile(CONFIGURED_BY, text, "0600", "postgres")]


def primary_files(cluster: ClusterSpec, primary: NodeSpec, replica: NodeSpec) -> list[NodeFile]:
    """The settings of the primary's server: who may ask, and for what. No key of the store is in them."""
    settings = {
        "tls-server-address": primary.address,
        "tls-server-port": BACKUP,
        "tls-server-ca-file": _CA,
        "tls-server-cert-file": _CERTIFICATE,
        "tls-server-key-file": _KEY,
        "tls-server-auth": f"{replica.hostname}={cluster.archive_name}",
        "lock-path": pgbackrest.WORK / "lock",
        "spool-path": pgbackrest.WORK / "spool",
        "log-level-file": "off",
        "log-level-console": "warn",
    }
    return [NodeFile(SERVER, "\n".join(["[global]", *pgbackrest.lines_of(settings), ""]), "0600", "postgres")]
