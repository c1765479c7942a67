"""What a client is told about reaching a datastore, and in which forms that is written for others to paste."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

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


@dataclass(frozen=True)
class Connection:
    """What the API tells a datastore's owner about connecting to it."""

    speaks: str
    """The scheme of its URLs."""
    user: str
    password: str = field(repr=False)
    database: str
    port: int
    ca: str
    """PEM."""
    hosts: tuple[str, ...]
    addresses: tuple[str, ...]
    """One for each host, or none at all where the names are to be resolved."""
    roles: tuple[str, ...]
    """One for each host, as it was last seen."""
    primary: str
    """Name of whichever node is the primary."""
    replicas: str

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
            speaks=answer["speaks"],
            user=answer["user"],
            password=answer["password"],
            database=answer["database"],
            port=int(answer["port"]),
            ca=answer["ca"],
            hosts=hosts,
            addresses=addresses if len(addresses) == len(hosts) else (),
            roles=tuple(str(node["role"]) for node in nodes),
            primary=answer["primary"],
            replicas=answer["replicas"],
        )

    def keep_ca(self, datastore: str, environ: Mapping[str, str] = os.environ) -> Path:
        """Stores the CA where connection strings point at, and returns the file."""
        file = contexts.folder(environ) / "ca" / f"{datastore}.pem"
        contexts.write_private(file, self.ca)
        return file
