"""The contract's words: planes, directions, protocols, mirrors, and the named groups of peers that come and go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Settings are pydantic models: loading the contract must not load pydantic.
    from ccx.settings import Settings


class Plane(StrEnum):
    """Where a connection is made from (or, inbound, made to)."""

    CONTROL = "control"
    """The control plane: CCX's own services."""
    DATA = "data"
    """The datastores' nodes."""
    BROWSER = "browser"
    """A user's browser. Needs no rule on any server."""
    INSTALL = "install"
    """Whatever installs or upgrades CCX. Not needed at run time."""
    INTERNAL = "internal"
    """Between CCX's own services."""


class Direction(StrEnum):
    """As seen from the plane."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    INTERNAL = "internal"


class Protocol(StrEnum):
    """What is spoken, as far as a firewall or a proxy tells it apart."""

    HTTPS = "HTTPS"
    HTTP = "HTTP"
    GRPC = "gRPC"
    TCP = "TCP"
    UDP = "UDP"
    UNIX = "unix"
    """A unix socket: never leaves the machine, and so is in no plan."""

    @property
    def transport(self) -> str:
        """``tcp`` or ``udp``."""
        return "udp" if self is Protocol.UDP else "tcp"


class Mirror(StrEnum):
    """What can stand in for the host inside the fence."""

    NONE = "none"
    IMAGE_REGISTRY = "image registry"
    CHART_REPOSITORY = "chart repository"
    APT_REPOSITORY = "APT repository"
    OBJECT_STORE = "object store"


class Status(StrEnum):
    BUILT = "built"
    PLANNED = "planned"
    """The service that would make the connection is not built yet; no rule is opened for it."""


def _nobody(_: Settings) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Group:
    """Peers that come and go, named in the contract and resolved when rules are applied.

    Attributes:
        members: networks or addresses, as far as the settings tell; empty when they don't.
        domain: names that end in it belong to the group; empty for none.
    """

    name: str
    words: str
    members: Callable[[Settings], tuple[str, ...]] = field(default=_nobody, repr=False, compare=False)
    domain: Callable[[Settings], str] = field(default=lambda _: "", repr=False, compare=False)

    def __str__(self) -> str:
        return f"group:{self.name}"


@dataclass(frozen=True)
class UnixSocket:
    """A host that is no host: a socket in the file system."""

    path: Callable[[Settings], Path]


def _set(*values: str) -> tuple[str, ...]:
    return tuple(value for value in values if value)


NODES = Group("nodes", "the datastores' nodes", lambda s: _set(s.node_network), lambda s: s.user_domain)
PEERS = Group("peers", "the other nodes of the same datastore", NODES.members, NODES.domain)
CONTROL_PLANE = Group("control-plane", "the control plane", lambda s: _set(s.control_address), lambda s: s.fqdn)
RESOLVER = Group("resolver", "the DNS server that nodes and clients ask", lambda s: _set(s.resolver_address))
CLIENTS = Group("clients", "the databases' clients, from the sources that each datastore's firewall allows")
USERS = Group("users", "people and programs that use the console, the API or the ccx command")

GROUPS = (NODES, PEERS, CONTROL_PLANE, RESOLVER, CLIENTS, USERS)
