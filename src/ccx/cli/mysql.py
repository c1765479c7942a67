"""MariaDB's and MySQL's clients: connection parameters in the formats that people paste, and running ``mariadb``.

Their clients know one host. It is the name that leads to the wanted node, also after a failover; where this machine
does not resolve it, the address of the node that is in the role now. Both stand in the node's certificate.
"""

from __future__ import annotations

import os
import shlex
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from ccx.cli import command_line
from ccx.cli.connection import CONNECT_TIMEOUT_SECONDS, Connection, Format, Role

_VARIABLES = {
    "host": "MYSQL_HOST",
    "port": "MYSQL_TCP_PORT",
    "user": "MYSQL_USER",
    "password": "MYSQL_PWD",
    "database": "MYSQL_DATABASE",
    "ssl-ca": "MYSQL_SSL_CA",
}
"""The client reads host, port and password from these; the others are there for your own use."""

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"'}


def parameters(told: Connection, role: Role, ca_file: Path) -> dict[str, str]:
    """By the names of the client's options, the password among them."""
    return {
        "host": _host(told, role),
        "port": str(told.port),
        "user": told.user,
        "password": told.password,
        "database": told.database,
        "ssl-ca": str(ca_file),
        "connect-timeout": str(CONNECT_TIMEOUT_SECONDS),
    }


def written(parameters: Mapping[str, str], form: Format) -> str:
    """The parameters as text: a URL, a file of options (keyword), or variables for a shell (env)."""
    if form is Format.ENV:
        return "\n".join(f"export {variable}={shlex.quote(parameters[name])}" for name, variable in _VARIABLES.items())
    return options(parameters).rstrip("\n") if form is Format.KEYWORD else _url(parameters)


def options(parameters: Mapping[str, str]) -> str:
    """As a file of options. Only the interactive clients know of a database to begin with."""
    lines = [f"{name}={_option_value(value)}" for name, value in parameters.items() if name != "database"]
    database = _option_value(parameters["database"])
    return "\n".join(("[client]", *lines, "ssl-verify-server-cert", "[mysql]", f"database={database}", ""))


def run(parameters: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Runs ``mariadb`` by a private file of options, and no other, that is gone when it ends."""
    with tempfile.TemporaryDirectory(prefix="ccx-") as folder:
        file = Path(folder) / "client.cnf"
        file.touch(mode=0o600)
        file.write_text(options(parameters))
        environ = {key: value for key, value in os.environ.items() if key not in _VARIABLES.values()}
        command = ["mariadb", f"--defaults-file={file}", *arguments]
        return command_line.run(command, environ, "MariaDB's client", "mariadb-client")


def _host(told: Connection, role: Role) -> str:
    name = {Role.PRIMARY: told.primary, Role.REPLICA: told.replicas, Role.ANY: told.hosts[0]}[role]
    if not told.addresses or _resolves(name):
        return name
    there = dict(zip(told.roles, told.addresses, strict=True))
    return there.get(role.value) or there.get("primary") or told.addresses[0]


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def _option_value(value: str) -> str:
    """In quotes: they keep spaces and ``#``."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'


def _url(parameters: Mapping[str, str]) -> str:
    rest = dict(parameters)
    user, password, database = (quote(rest.pop(key), safe="") for key in ("user", "password", "database"))
    where = f"{rest['host']}:{rest['port']}"
    query = f"ssl-mode=VERIFY_IDENTITY&ssl-ca={quote(rest['ssl-ca'], safe='/')}"
    return f"mysql://{user}:{password}@{where}/{database}?{query}"
