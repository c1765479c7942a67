"""PostgreSQL's clients: libpq's connection parameters in the formats that people paste, and running psql.

All nodes are named with their addresses (``hostaddr``), so that nothing depends on this machine's resolver, and the
certificate is still verified against the node's name.
"""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from ccx.cli import command_line
from ccx.cli.connection import CONNECT_TIMEOUT_SECONDS, Connection, Format, Role

_PLAIN = re.compile(r"[\w.,:/@+-]+", re.ASCII)
"""Keyword values that need no quotes."""

_SESSION = {Role.PRIMARY: "read-write", Role.REPLICA: "standby", Role.ANY: "any"}

_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}


def parameters(told: Connection, role: Role, ca_file: Path) -> dict[str, str]:
    """libpq's parameters, the password among them."""
    values = {
        "host": ",".join(told.hosts),
        "hostaddr": ",".join(told.addresses),
        "port": str(told.port),
        "dbname": told.database,
        "user": told.user,
        "password": told.password,
        "target_session_attrs": _SESSION[role],
        "sslmode": "verify-full",
        "sslrootcert": str(ca_file),
        "connect_timeout": str(CONNECT_TIMEOUT_SECONDS),
    }
    return {key: value for key, value in values.items() if value}


def environment(parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters as libpq's environment variables."""
    return {_VARIABLES[key]: value for key, value in parameters.items()}


def written(parameters: Mapping[str, str], form: Format) -> str:
    """The parameters as text that works as pasted: into ``psql "…"`` (uri, keyword) or a shell (env)."""
    if form is Format.ENV:
        return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment(parameters).items())
    if form is Format.KEYWORD:
        return " ".join(f"{key}={_keyword_value(value)}" for key, value in parameters.items())
    return _uri(parameters)


def passfile_line(parameters: Mapping[str, str]) -> str:
    """A line of libpq's password file that fits these parameters' user on any host."""
    user, password = (parameters[key].replace("\\", "\\\\").replace(":", "\\:") for key in ("user", "password"))
    return f"*:*:*:{user}:{password}\n"


def run(parameters: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Runs psql; the password goes through a private file that is gone when it ends."""
    public = {key: value for key, value in parameters.items() if key != "password"}
    with tempfile.TemporaryDirectory(prefix="ccx-") as folder:
        passfile = Path(folder) / "pgpass"
        passfile.touch(mode=0o600)
        passfile.write_text(passfile_line(parameters))
        environ = {**os.environ, **environment(public), "PGPASSFILE": str(passfile)}
        environ.pop("PGPASSWORD", None)
        environ.pop("PGSERVICE", None)
        return command_line.run(["psql", *arguments], environ, "PostgreSQL's client", "postgresql-client")


def _keyword_value(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _uri(parameters: Mapping[str, str]) -> str:
    rest = dict(parameters)
    hosts, port = rest.pop("host").split(","), rest.pop("port")
    user, password, database = (quote(rest.pop(key), safe="") for key in ("user", "password", "dbname"))
    where = ",".join(f"{host}:{port}" for host in hosts)
    query = "&".join(f"{key}={quote(value, safe=',/')}" for key, value in rest.items())
    return f"postgresql://{user}:{password}@{where}/{database}?{query}"
