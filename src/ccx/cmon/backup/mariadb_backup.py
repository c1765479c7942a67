"""Backups of MariaDB, MySQL and Percona Server: the configuration of rclone and of the log's shipper, and manifests.

Files and units are called after the first of them that had any.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ccx.cmon.backup import rclone
from ccx.cmon.backup.base import Backup, Findings, Kind, Origin, Repository
from ccx.cmon.engines.mysql_family.layout import CONFIGURATION as SERVER
from ccx.cmon.engines.mysql_family.layout import (
    KEEPER,
    LOG_KEPT,
    REPLICATION_USER,
    USER,
    VOLUME,
    Flavour,
    apart_file,
)
from ccx.cmon.etcd.layout import DATA, place
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec

FOLDER = "/etc/ccx/mariadb-backup"
SHIPPER = "ccx-mariadb-ship.service"
ORIGIN, ORIGIN_KEYS = f"{FOLDER}/restore.json", f"{FOLDER}/restore-rclone.conf"
DIRECTORIES = [{"path": "mysql-backup", "owner": USER, "mode": "0700"}]
"""On the data volume: how far things are; and a copy of the data, where no tool can send it without one."""
_WORK = DATA / "mysql-backup"
_KEYS, _CA, _ORIGIN_CA = f"{FOLDER}/rclone.conf", f"{FOLDER}/ca.crt", f"{FOLDER}/restore-ca.crt"

# The shipper says so too, but a server that starts removes what is too old or too much before anybody reaches it.
LIMITLESS = """[mariadbd]
binlog_expire_logs_seconds = 0
loose_max_binlog_total_size = 0
"""
_UNIT = """[Unit]
Description=CCX: sends the log of {name} to the object store
After=network.target {server}
RequiresMountsFor={data}
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
SyslogIdentifier=ship
Nice=5
ExecStart=/usr/bin/python3 -I /usr/lib/ccx-agent/ccx_agent/mariadb_ship.py {configuration}
Restart=always
RestartSec=1s
PrivateTmp=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


def node_files(flavour: Flavour, cluster: ClusterSpec, label: str, repository: Repository) -> list[NodeFile]:
    """The way to the store, whose keys are for the server's user alone, and the unit that sends the log there."""
    node = cluster.node(label)
    tls = {"ca": "ca.crt", "certificate": "node.crt", "key": "node.key"}
    told = {
        **_store(_KEYS, repository, _CA),
        "archive": cluster.archive_name,
        "label": node.label,
        "server": f"{SERVER}/my.cnf",
        "socket": str(flavour.run / "mysqld.sock"),
        "data": str(VOLUME / "data"),
        "binlogs": str(VOLUME / "binlog"),
        "work": str(_WORK),
        "speech": flavour.speech,
        "program": flavour.server,
        "domain": flavour.domain,
        "apart": str(apart_file(flavour)) if flavour.group else "",
        "keeper": {
            "address": node.address,
            "port": KEEPER,
            "tls": {name: f"{SERVER}/{file}" for name, file in tls.items()},
        },
    }
    path = f"{FOLDER}/backup.json"
    unit = _UNIT.format(name=flavour.name, server=flavour.unit, data=DATA, user=USER, configuration=path)
    files = [
        NodeFile(_KEYS, rclone.configuration(repository), "0600", USER),
        NodeFile(path, json.dumps(told, indent=1), "0600", USER),
        NodeFile(str(LOG_KEPT), LIMITLESS),
        NodeFile(f"/etc/systemd/system/{SHIPPER}", unit),
    ]
    return [*files, NodeFile(_CA, repository.ca)] if repository.ca else files


def restore_files(flavour: Flavour, cluster: ClusterSpec, node: NodeSpec, origin: Origin) -> list[NodeFile]:
    """What a new cluster's node needs to be made from a backup of another one: its first node; the others copy that."""
    first = first_of(cluster)
    told = {
        **_store(ORIGIN_KEYS, origin.repository, _ORIGIN_CA),
        "first": node == first,
        "logs": [name for _, name in origin.path] or [origin.name],
        "backup": origin.backup,
        # A drill restores to where rows were counted, which is behind the backup where somebody wrote meanwhile.
        "at_once": origin.at_once and not origin.point,
        "to": origin.to.timestamp() if origin.to else None,
        "through": origin.point,
        "before": origin.before_lsn,
        "server": f"{SERVER}/my.cnf",
        "speech": flavour.speech,
        "mariadbd": flavour.server,
        "run": str(flavour.run),
        "binlogs": str(VOLUME / "binlog"),
        "work": str(_WORK),
        "replication_user": REPLICATION_USER,
    }
    files = [NodeFile(ORIGIN, json.dumps(told, indent=1), "0600", USER)]
    if node != first:
        return files
    files.append(NodeFile(ORIGIN_KEYS, rclone.configuration(origin.repository), "0600", USER))
    return [*files, NodeFile(_ORIGIN_CA, origin.repository.ca)] if origin.repository.ca else files


def first_of(cluster: ClusterSpec) -> NodeSpec:
    """The node whose data come from the backup."""
    return min(cluster.nodes, key=place)


def forgotten() -> list[NodeFile]:
    """What is left of that: nothing."""
    return [NodeFile(path, "", "0600", USER) for path in (ORIGIN, ORIGIN_KEYS)]


def _store(keys: str, repository: Repository, ca: str) -> dict[str, Any]:
    return {"rclone": keys, "ca": ca if repository.ca else "", "unchecked": not repository.location.verify}


def backup_of(found: dict[str, Any]) -> Backup:
    """A manifest; of one that is damaged there is only what its name says."""
    return Backup(
        id=found["id"],
        parent=found["parent"],
        kind=Kind(found["kind"]),
        started=datetime.fromtimestamp(int(found["started"]), UTC),
        ended=datetime.fromtimestamp(int(found["ended"]), UTC),
        size=found["size"],
        stored=found["stored"],
        good="damaged" not in found,
        lsn=found["gtid"] or None,
        node=found["node"],
        tool=found.get("tool"),
    )


def findings(found: dict[str, Any]) -> Findings:
    """What the verification wrote down."""
    return Findings(
        checked=tuple(found["checked"]),
        damaged=found["damaged"],
        damaged_log=found["log"],
        until={one: datetime.fromtimestamp(int(at), UTC) for one, at in found["until"].items()},
    )
