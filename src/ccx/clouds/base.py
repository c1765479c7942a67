"""What every cloud can do for us. Drivers implement :class:`Cloud`; the conformance suite proves each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ccx.errors import CcxError, NoCapacity, Transient

__all__ = [
    "Cloud",
    "CloudEvent",
    "Denied",
    "Direction",
    "Firewall",
    "NameTaken",
    "NoCapacity",
    "QuotaExceeded",
    "Resource",
    "ResourceKind",
    "Rule",
    "Server",
    "ServerSpec",
    "ServerState",
    "StaleToken",
    "Tags",
    "Unavailable",
    "Unconfirmed",
    "Volume",
    "VolumeSpec",
]  # fmt: skip


class Unavailable(Transient):
    """The cloud's API did not answer, or answered that it can't now. May be retried."""


class Unconfirmed(CcxError):
    """The cloud accepted a power-off but did not confirm in time that the machine is off. It may still run."""

    status = 504


class QuotaExceeded(CcxError):
    """The account's quota is used up. Not retried."""


class Denied(CcxError):
    """The credentials may not do this. Not retried."""


class NameTaken(CcxError):
    """A resource of this name exists with another meaning (another spec that can't be reconciled)."""

    status = 409


class StaleToken(CcxError):
    """A job that lost its claim tried to change a resource that a later job already touched."""

    status = 409


@dataclass(frozen=True)
class Tags:
    """What every resource carries, so that nothing is ever ownerless.

    ``token`` is the claim of the job that made or last changed it; a lower one is refused afterwards.
    """

    instance: str
    datastore: str
    """Short id of the datastore."""
    token: int
    owner: str = ""
    """``user:<uuid>``, for the operator's eyes."""


class ServerState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True)
class VolumeSpec:
    name: str
    size: int
    """GiB."""
    type: str
    region: str
    zone: str = ""


@dataclass(frozen=True)
class Volume:
    name: str
    size: int
    attached_to: str | None = None


@dataclass(frozen=True)
class ServerSpec:
    """A server to be made. Its volume and firewall exist already; the address is the cloud's choice, kept for life.

    A server that keeps nothing has no volume (``""``).

    The local cloud mounts the volume at ``/var/lib/ccx-data``; elsewhere ``ccx-agent`` finds the attached device.
    """

    name: str
    hostname: str
    instance_type: str
    region: str
    volume: str
    firewall: str
    user_data: str
    """cloud-config text. Holds no secret but one token that expires."""
    image: str = "baked"
    """What an engine has its packages in (``baked``, ``baked-mariadb``), or ``stock`` (cloud-init only)."""
    zone: str = ""


@dataclass(frozen=True)
class Server:
    name: str
    state: ServerState
    private_ip: str | None
    public_ip: str | None = None
    zone: str = ""


class Direction(StrEnum):
    INGRESS = "ingress"
    EGRESS = "egress"


@dataclass(frozen=True, order=True)
class Rule:
    """One allowed flow of a firewall's members. ``peer`` is a CIDR, or ``"self"``: the members of the same firewall."""

    direction: Direction
    protocol: str
    """``tcp`` or ``udp``."""
    port: int
    peer: str


@dataclass(frozen=True)
class Firewall:
    """A named set of rules that servers are members of; what no rule allows is denied, both ways."""

    name: str
    rules: tuple[Rule, ...] = ()


class ResourceKind(StrEnum):
    SERVER = "server"
    VOLUME = "volume"
    FIREWALL = "firewall"
    ADDRESS = "address"


@dataclass(frozen=True)
class Resource:
    """One thing that exists on the cloud, whoever asked for it."""

    kind: ResourceKind
    name: str
    tags: Tags
    detail: str = ""
    """For a person: state, size, address."""


@dataclass(frozen=True)
class CloudEvent:
    """The cloud's own report that a server stopped or started."""

    server: str
    state: ServerState
    at: float
    """Unix time."""


@dataclass(frozen=True)
class Demand:
    """What a datastore would take, for :meth:`Cloud.check_capacity`."""

    instance_type: str
    cpu: int
    ram: int
    """GiB."""
    volume_size: int
    """GiB."""
    region: str
    extra: dict[str, str] = field(default_factory=dict)


class Cloud(Protocol):
    """One provider.

    Every call is idempotent by name: creating what exists returns it, deleting what is absent succeeds. Calls that
    change something carry :class:`Tags`; a token lower than the highest that this datastore's resources saw is refused
    with :class:`StaleToken`. Each call ends within 30 s, with a result or with one of this module's errors;
    only :class:`Unavailable` may be retried.
    """

    code: str

    async def check_capacity(self, demands: Sequence[Demand]) -> None:
        """Raises :class:`NoCapacity` or :class:`QuotaExceeded`, naming what is short, if these can't all be made."""

    async def create_volume(self, spec: VolumeSpec, tags: Tags) -> Volume:
        """Returns when the volume exists. Sparse where the cloud can."""

    async def delete_volume(self, name: str, tags: Tags) -> None:
        """Removes the volume and its data. A volume that is attached is refused (409)."""

    async def create_server(self, spec: ServerSpec, tags: Tags) -> Server:
        """Returns when the provider accepted it (its address is known), not when it booted."""

    async def get_server(self, name: str) -> Server | None:
        """As the provider sees it now, or None where there is none."""

    async def delete_server(self, name: str, tags: Tags) -> None:
        """Stops (hard) and removes the server; returns when it is gone. Its volume stays."""

    async def power_off(self, name: str, tags: Tags) -> None:
        """Fencing: returns only when the provider confirms that the machine does not run.

        Raises :class:`Unconfirmed` after 10 s. An absent server counts as off.
        """

    async def power_on(self, name: str, tags: Tags) -> None:
        """Starts a stopped server again, with the same address and volume. Running already: succeeds."""

    async def put_firewall(self, firewall: Firewall, tags: Tags) -> None:
        """Makes the firewall, or replaces its rules at once and as a whole; flows no longer allowed are cut."""

    async def delete_firewall(self, name: str, tags: Tags) -> None:
        """Removes it. One that still has members is refused (409)."""

    async def inventory(self, instance: str) -> list[Resource]:
        """Everything this installation owns, by tag; what is here and unknown to the stores is an orphan."""

    def events(self) -> AsyncIterator[CloudEvent]:
        """Server state changes as they happen, from now on. A cloud that can't report them ends the iteration."""

    async def close(self) -> None:
        """Releases connections."""
