"""Where things are on a node, and which ports they use. Where etcd is: :mod:`ccx.cmon.etcd.layout`."""

from __future__ import annotations

from pathlib import PurePosixPath

from ccx.cmon.etcd.layout import DATA, node_url
from ccx.cmon.spec import NodeSpec

POSTGRES, PATRONI, BACKUP = 5432, 8008, 8432

CONFIGURATION = PurePosixPath("/etc/ccx/postgres")
PATRONI_UNIT = "ccx-patroni.service"

REPLICATION_USER, REWIND_USER = "ccx_replication", "ccx_rewind"

MANIFEST = "backup.manifest"
"""What pgBackRest writes last of a backup."""


def data_directory(version: str) -> PurePosixPath:
    """One per major version, so that an upgrade has the old one beside the new."""
    return DATA / "postgresql" / version


def patroni_url(node: NodeSpec) -> str:
    return node_url(node, PATRONI)
