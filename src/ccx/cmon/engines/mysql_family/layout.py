"""Where things are on a node, and which ports they use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from ccx.cmon.etcd.layout import DATA, node_url, place
from ccx.cmon.spec import NodeSpec

MYSQL, KEEPER = 3306, 8008

CONFIGURATION = PurePosixPath("/etc/ccx/mysql")
VOLUME = DATA / "mysql"
"""On the data volume, of the server's user."""
KEEPER_UNIT = "ccx-keeper.service"
LOG_KEPT = PurePosixPath("/etc/ccx/mariadb-backup/server.cnf")
"""Of MariaDB's configuration, what it is told where its log is sent to the store; else the file is not there."""
REPLICATION_USER = "ccx_replication"
USER = "mysql"
MANIFEST = "manifest.json.bin"
"""What is written last of a backup; by its name in the store, where rclone calls what it encrypts so."""


@dataclass(frozen=True)
class Flavour:
    """One of the family: what its programs and units are called."""

    name: str
    """For people."""
    unit: str
    run: PurePosixPath
    """Its runtime folder."""
    server: str
    """The command that runs it, without arguments."""
    prepare: str
    """The script that makes or copies its data before it starts."""
    copy: tuple[str, ...]
    """The command that writes a copy of its data to standard output; without the file that configures it."""
    section: str
    """Of its configuration file."""
    speech: str = "mariadb"
    """By what the agent knows how to ask the server, and to read its log."""
    domain: int | None = None
    """Of the cluster's transactions, where a node's log may have others besides."""
    group: bool = False
    """Its nodes wait for each other: who is copied is taken out of step meanwhile."""


def server_id(node: NodeSpec) -> int:
    """Unique in the cluster for ever: transactions carry it."""
    index, generation = place(node)
    return index * 10_000 + generation


def apart_file(flavour: Flavour) -> PurePosixPath:
    """Locked by who has a member out of step with its group."""
    return flavour.run / "apart.lock"


def keeper_url(node: NodeSpec) -> str:
    return node_url(node, KEEPER)
