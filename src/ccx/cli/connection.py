"""How a client reaches a datastore: libpq's connection parameters in the formats that people paste.

All nodes are named with their addresses (``hostaddr``), so that nothing depends on this machine's resolver, and the
certificate is still verified against the node's name.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from ccx.cli import contexts
from ccx.errors import CcxError

CONNECT_TIMEOUT_SECONDS = 3
"""For each node in turn: a dead one must not make the next wait for the kernel's two minutes."""


class Role(StrEnum):
    """Which node a connection ends up on."""

    PRIMARY = "primary"
    REPLICA = "replica"
    ANY = "any"


class Format(StrEnum):
    """How connection parameters are written."""

    URI = "uri"
    KEYWORD = "keyword"
    ENV = "env"


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


@dataclass(frozen=True)
class Connection:
    """What the API tells a datastore's owner about connecting to it."""

    user: str
    password: str = field(repr=False)
    database: str
    port: int
    ca: str
    """PEM."""
    hosts: tuple[str, ...]
    addresses: tuple[str, ...]
    """One for each host, or none at all where the names are to be resolved."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """From the API's answer. Raises :class:`CcxError` while the datastore has no node to connect to."""
        nodes = answer.get("nodes") or []
        hosts = tuple(str(node["host"]) for node in nodes)
        addresses = tuple(str(node["address"]) for node in nodes if node.get("address"))
        if not hosts:
            raise CcxError(
                "the datastore has no node to connect to yet",
                status=409,
                remedy="Wait until it is STARTED: ccx job follow",
            )
        return cls(
            user=answer["user"],
            password=answer["password"],
            database=answer["database"],
            port=int(answer["port"]),
            ca=answer["ca"],
            hosts=hosts,
            addresses=addresses if len(addresses) == len(hosts) else (),
        )

    def keep_ca(self, datastore: str, environ: Mapping[str, str] = os.environ) -> Path:
        """Stores the CA where connection strings point at, and returns the file."""
        file = contexts.folder(environ) / "ca" / f"{datastore}.pem"
        contexts.write_private(file, self.ca)
        return file

    def parameters(self, role: Role, ca_file: Path) -> dict[str, str]:
        """libpq's parameters, the password among them."""
        values = {
            "host": ",".join(self.hosts),
            "hostaddr": ",".join(self.addresses),
            "port": str(self.port),
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
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
