"""What an engine is told about a cluster, and what it reports back. Plain data: engines know no database of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ccx.pki import KeyPair as KeyPair

if TYPE_CHECKING:
    from ccx.cmon.backup.base import Origin, Repository


@dataclass(frozen=True)
class NodeSpec:
    """A node, as engines and the node channel see it."""

    id: str
    """uuid."""
    label: str
    """``n1g1``: unique in the cluster for ever; the member name in etcd and Patroni."""
    hostname: str
    """Fully qualified."""
    address: str
    host_key: str
    """OpenSSH public key (``ssh-ed25519 AAAA…``) that the connection is pinned to."""


@dataclass(frozen=True, repr=False)
class ClusterSecrets:
    """Passwords and keys of one cluster. Never printed: no repr."""

    superuser: str
    replication: str
    rewind: str
    admin: str
    """Of the tenant's first user."""
    ca: str
    """The datastore's CA certificate, PEM; public."""
    nodes: dict[str, KeyPair]
    """By node label: server and client certificate of the node."""
    control: KeyPair
    """The control plane's client certificate in this cluster."""


@dataclass(frozen=True)
class ClusterSpec:
    """A cluster as it should be."""

    id: str
    """uuid of the datastore."""
    short_id: str
    vendor: str
    version: str
    cluster_type: str
    nodes: tuple[NodeSpec, ...]
    """All present members, by index."""
    primary_name: str
    replicas_name: str
    memory_mib: int
    """Of each node."""
    cpus: int
    admin_user: str
    admin_database: str
    client_sources: tuple[str, ...] = ()
    """CIDRs that clients may come from (the engine's own access list is a second line behind the firewall)."""
    secrets: ClusterSecrets = field(repr=False, kw_only=True)
    backup: Repository | None = field(default=None, repr=False, kw_only=True)
    """Where its backups go; None until the first one is asked for."""
    origin: Origin | None = field(default=None, repr=False, kw_only=True)
    """What it is made from, while it is; None: from nothing."""
    branch: int = field(default=0, kw_only=True)
    """Of the datastore's history: two clusters of one datastore, of which one serves, differ in it."""
    archive_name: str = field(default="", kw_only=True)
    """What its log and backups are called in the store; empty: as the cluster."""

    def __post_init__(self) -> None:
        if not self.archive_name:
            object.__setattr__(self, "archive_name", self.short_id)

    def node(self, label: str) -> NodeSpec:
        return next(n for n in self.nodes if n.label == label)


class Role(StrEnum):
    PRIMARY = "primary"
    REPLICA = "replica"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class MemberView:
    """One member, as the cluster reports it."""

    label: str
    role: Role
    state: str
    """The engine's word: ``running``, ``streaming``, ``stopped`` …"""
    address: str
    healthy: bool
    """Serves in its role: the primary accepts writes, a replica streams."""
    synchronous: bool = False
    lag_bytes: int | None = None
    timeline: int | None = None
    errant: tuple[str, ...] = ()
    """What only it had, and was kept apart when it was made anew: files on its volume."""


@dataclass(frozen=True)
class ClusterView:
    """What one cheap request told about a cluster."""

    members: tuple[MemberView, ...]
    answered_by: str | None
    """Label of the node that answered; None when none did."""
    unreachable: tuple[str, ...] = ()
    """Labels of nodes that did not answer the control plane."""
    problems: tuple[str, ...] = ()
    """Reasons in a user's words, each naming node and cause, that the cluster is less than it should be."""

    @property
    def primary(self) -> MemberView | None:
        return next((m for m in self.members if m.role is Role.PRIMARY and m.healthy), None)

    @property
    def leading(self) -> str | None:
        """Label of the node that leads by the cluster's word, even if it serves nobody or was silent just now."""
        return next((m.label for m in self.members if m.role is Role.PRIMARY), None)

    @property
    def replicas(self) -> tuple[MemberView, ...]:
        return tuple(m for m in self.members if m.role is Role.REPLICA)

    def to_json(self) -> dict[str, Any]:
        return {
            "members": [{**m.__dict__, "role": m.role.value} for m in self.members],
            "answered_by": self.answered_by,
            "unreachable": list(self.unreachable),
            "problems": list(self.problems),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ClusterView:
        return cls(
            members=tuple(
                MemberView(**{**m, "role": Role(m["role"]), "errant": tuple(m.get("errant", ()))})
                for m in data["members"]
            ),
            answered_by=data["answered_by"],
            unreachable=tuple(data["unreachable"]),
            problems=tuple(data["problems"]),
        )


@dataclass(frozen=True)
class DatabaseUser:
    name: str
    host: str = "%"
    grants: str = ""
    auth_plugin: str = ""


@dataclass(frozen=True)
class DatabaseInfo:
    name: str
    owner: str
    size: int
    """Bytes."""
    tables: int
