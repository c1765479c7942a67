"""pgBackRest: its configuration on a node, and what its output means."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ccx.cmon.backup import restoring
from ccx.cmon.backup.archiving import CONFIGURATION as CONFIGURATION
from ccx.cmon.backup.archiving import FOLDER, SCRIPT, script
from ccx.cmon.backup.archiving import archiving as archiving
from ccx.cmon.backup.base import Backup, Kind, Origin, Repository
from ccx.cmon.engines.postgres.config import SOCKET
from ccx.cmon.engines.postgres.layout import data_directory
from ccx.cmon.etcd.layout import DATA
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec
from ccx.network.hosts import parse_url

_CA, _ORIGIN_CA = f"{FOLDER}/ca.crt", f"{FOLDER}/restore-ca.crt"
WORK = DATA / "pgbackrest"

DIRECTORIES = [{"path": "pgbackrest", "owner": "postgres", "mode": "0700"}]
"""On the data volume."""


def node_files(cluster: ClusterSpec, repository: Repository) -> list[NodeFile]:
    """Its settings, which hold the keys and are for PostgreSQL's user alone, and the store's CA."""
    files = [
        NodeFile(CONFIGURATION, configuration(cluster, repository), "0600", "postgres"),
        NodeFile(str(SCRIPT), script(), "0755"),
    ]
    return [*files, NodeFile(_CA, repository.ca)] if repository.ca else files


def restore_files(cluster: ClusterSpec, origin: Origin) -> list[NodeFile]:
    """What a new cluster's nodes need to be made from a backup of another one."""
    names = [origin.name, *(name for _, name in origin.path if name != origin.name)]
    # Nothing else runs there yet.
    config = _text(names, cluster.version, origin.repository, _ORIGIN_CA, processes=max(2, cluster.cpus))
    data = data_directory(cluster.version)
    files = [
        NodeFile(str(restoring.CONFIGURED_BY), config, "0600", "postgres"),
        NodeFile(str(restoring.SCRIPT), restoring.script(origin, data), "0755"),
        NodeFile(str(restoring.GET), restoring.get_script(origin), "0755"),
    ]
    return [*files, NodeFile(_ORIGIN_CA, origin.repository.ca)] if origin.repository.ca else files


def configuration(cluster: ClusterSpec, repository: Repository) -> str:
    """The text of ``pgbackrest.conf``. Nothing of it has to stand in an argument or the environment."""
    return _text([cluster.archive_name], cluster.version, repository, _CA, processes=_processes(cluster))


def text_of(cluster: ClusterSpec, repository: Repository, more: dict[str, Any], more_of_stanza: dict[str, Any]) -> str:
    """The same with more settings."""
    text = _text(
        [cluster.archive_name], cluster.version, repository, _CA, processes=_processes(cluster), more=more
    )  # fmt: skip
    return "\n".join([text.rstrip("\n"), *lines_of(more_of_stanza), ""])


def _processes(cluster: ClusterSpec) -> int:
    """That copy at once. More than processors would have a commit wait for the node's whole share of them."""
    return min(2, max(1, cluster.cpus))


def _text(
    names: Sequence[str],
    version: str,
    repository: Repository,
    ca: str,
    *,
    processes: int,
    more: dict[str, Any] | None = None,
) -> str:
    where = repository.location
    address = parse_url(where.endpoint, field="s3_endpoint")
    common = {
        "repo1-type": "s3",
        "repo1-path": "/" + repository.prefix.strip("/"),
        "repo1-s3-endpoint": address.host,
        "repo1-storage-port": address.port or 443,
        "repo1-s3-bucket": where.bucket,
        "repo1-s3-region": where.region,
        "repo1-s3-uri-style": "host" if where.style == "virtual" else "path",
        "repo1-s3-key": repository.credentials.access_key,
        "repo1-s3-key-secret": repository.credentials.secret_key,
        "repo1-storage-verify-tls": "y" if where.verify else "n",
        **({"repo1-storage-ca-file": ca} if repository.ca else {}),
        "repo1-cipher-type": "aes-256-cbc",
        "repo1-cipher-pass": repository.cipher,
        "repo1-bundle": "y",
        "repo1-block": "y",
        "compress-type": "zst",
        "process-max": processes,
        "archive-async": "y",
        "spool-path": WORK / "spool",
        "lock-path": WORK / "lock",
        "log-level-file": "off",
        "log-level-console": "warn",
        "start-fast": "y",
        # A store that restarts is waited for.
        "io-timeout": 60,
        # What is kept, and for how long, is for the control plane to say.
        "expire-auto": "n",
        **(more or {}),
    }
    stanza = {"pg1-path": data_directory(version), "pg1-socket-path": SOCKET}
    # The log's way is another matter: while it waits, all of it could be lost.
    lines = ["[global]", *lines_of(common), "", "[global:archive-push]", *lines_of({"process-max": 2}), ""]
    for name in names:
        lines += [f"[{name}]", *lines_of(stanza), ""]
    return "\n".join(lines)


def backup_of(found: dict[str, Any]) -> Backup:
    """An entry of ``pgbackrest info --output=json``."""
    log, lsn = found.get("archive") or {}, found.get("lsn") or {}
    xid = (found.get("annotation") or {}).get("ccx-xid")
    return Backup(
        id=found["label"],
        parent=found.get("prior"),
        kind=Kind.FULL if found["type"] == "full" else Kind.INCREMENTAL,
        started=datetime.fromtimestamp(found["timestamp"]["start"], UTC),
        ended=datetime.fromtimestamp(found["timestamp"]["stop"], UTC),
        size=found["info"]["size"],
        stored=found["info"]["repository"]["delta"],
        good=not found.get("error"),
        log=(log["start"], log["stop"]) if log.get("start") and log.get("stop") else None,
        lsn=lsn.get("stop"),
        xid=int(xid) if xid else None,
        node=(found.get("annotation") or {}).get("ccx-node"),
    )


def lines_of(settings: dict[str, Any]) -> list[str]:
    """Settings, as a section of the file has them."""
    return [f"{name}={value}" for name, value in settings.items()]
