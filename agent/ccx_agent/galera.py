"""What a person decides about a Galera group: with whose data it goes on; and what its readers wait for."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from . import mariadb_tenants, percona_tenants
from .errors import AgentError
from .galera_server import TABLE
from .process import output
from .verb import Args, Progress, Verb, text

_VOLUME = Path("/var/lib/ccx-data/mysql")
_LIMIT_S = 20.0
_SERVERS = {"mariadb": mariadb_tenants.server, "mysql": percona_tenants.server}


def bootstrap(args: Args, _progress: Progress) -> dict[str, object]:
    """``file``: made, for the script that starts the server; ``unit``: that script's, which begins again.

    Should a group serve by then, the script joins it, and the file is gone: a decision is good for one start.
    """
    path, unit = Path(text(args, "file")), text(args, "unit")
    if path.parent != _VOLUME or not unit.startswith("ccx-"):
        raise AgentError(f"{path} or {unit} is not the control plane's")
    path.touch(mode=0o600)
    user = pwd.getpwnam("mysql")
    os.chown(path, user.pw_uid, user.pw_gid)
    output(["systemctl", "--no-block", "restart", unit])
    return {}


def reads(args: Args, _progress: Progress) -> dict[str, object]:
    """``current``: who reads on a member that takes no writes waits for all that was acknowledged before.

    ``speech``: of which server. It stands in the group's own row, which every keeper goes by.
    """
    server = _SERVERS[text(args, "speech", "mariadb")]
    with server(_LIMIT_S) as connection:
        connection.query(f"update {TABLE} set current_reads = {int(bool(args.get('current')))}")  # noqa: S608 - ours
    return {}


VERBS = {"galera-bootstrap": Verb(bootstrap, mutates=True), "galera-reads": Verb(reads, mutates=True)}
