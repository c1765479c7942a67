"""How a cluster sends its log to the store."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from ccx.cmon.spec import ClusterSpec

FOLDER = PurePosixPath("/etc/ccx/pgbackrest")
CONFIGURATION = f"{FOLDER}/pgbackrest.conf"


def parameters(cluster: ClusterSpec) -> dict[str, str]:
    """PostgreSQL's, of which all members have the same."""
    command = f"pgbackrest --config={CONFIGURATION} --stanza={cluster.archive_name} archive-push %p"
    return {"archive_command": command, "archive_timeout": "60s"}


def archiving(cluster: ClusterSpec) -> dict[str, Any]:
    """The part of Patroni's configuration that sends the log to the store."""
    return {"postgresql": {"parameters": parameters(cluster)}}
