"""What every engine can do. A job's steps call it; it knows neither jobs nor clouds. Every method may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.spec import ClusterSpec, ClusterView, DatabaseInfo, DatabaseUser


@dataclass(frozen=True)
class Port:
    """A port on a node and who may reach it."""

    number: int
    purpose: str
    clients: bool = False
    """The datastore's users, from the sources that they allowed."""
    peers: bool = False
    """The other nodes of the cluster."""
    control: bool = False
    """The control plane."""


@dataclass(frozen=True)
class Software:
    """What a node of an engine has to have installed, besides the packages that its repositories name."""

    files: tuple[tuple[str, str], ...] = ()
    """``(path, content)``, written before packages are installed: what keeps them from doing more than we want."""
    off: tuple[str, ...] = ()
    """Services that the packages bring along and that shall not run."""


@dataclass(frozen=True)
class Proof:
    """What was seen of some versions, by which tests."""

    versions: tuple[str, ...]
    seen: str
    """In a few words, for who has to choose: ``on real nodes: …``."""
    tests: tuple[str, ...]
    """Files below ``tests/``."""


class Engine(Protocol):
    """One vendor. ``token`` is the job's claim, passed on to every node that is changed."""

    vendor: str
    topologies: tuple[str, ...]
    """The codes of those that it makes."""
    speaks: str
    """What clients talk to it in, by the scheme of its URLs: ``postgresql``, ``mysql``. They choose programs by it."""
    places: str
    """How places in its log are written: one of :mod:`ccx.runner.places`."""
    image: str
    """What its nodes start from, on a cloud whose images we make: one that holds its packages."""
    ports: tuple[Port, ...]
    software: Software
    reserved_users: frozenset[str]
    reserved_databases: frozenset[str]
    reserved_beginnings: tuple[str, ...]
    """What names of the server's own users and databases begin with."""
    proofs: tuple[Proof, ...]
    """Of every version that it knows."""

    def parameters(self, memory_mib: int, cpus: int) -> dict[str, str]:
        """What a node of that size is told because of it, by the server's own names: memory, connections, threads."""

    def promise(self, size: int) -> str:
        """What a cluster of that many nodes gives, for a person: ``1: no HA``. Invalid for an impossible count."""

    async def configure(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """Writes everything that the node needs (configuration, certificates); starts nothing. May be repeated."""

    async def certify(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """Has a node that serves use the certificate that the cluster's secrets have for it. Restarts nothing."""

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        """Whether the node shows that certificate to who connects. Never raises for a node that is silent."""

    async def start(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        """Starts a new cluster on all its nodes at once; returns when the services run, not when they are healthy."""

    async def finish(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        """After the primary accepts writes: the tenant's user, database and extensions."""

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        """Adds a configured node to a running cluster as a replica; returns when it streams."""

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """Removes a lost member from the cluster's own records (consensus store, replication slots)."""

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        """One cheap request per node, at most 3 s. Never raises for an unreachable cluster: that is an observation."""

    async def alive(self, cluster: ClusterSpec, label: str, within: float) -> bool:
        """Whether that node's own health endpoint answers us, whatever it answers, ``within`` seconds."""

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        """After ``dead`` is confirmed off: ends its leadership at once, so that a replica takes over without waiting.

        False when ``dead`` does not lead. Raises :class:`ccx.errors.Transient` when no survivor answered in 5 s.
        """

    async def peers_see(self, channel: NodeChannel, cluster: ClusterSpec, label: str) -> dict[str, bool]:
        """Asks every other node whether it can reach ``label``; a node that does not answer is left out."""

    async def switchover(self, cluster: ClusterSpec, to: str) -> None:
        """Planned change of primary."""

    async def users(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseUser]: ...

    async def put_user(
        self,
        channel: NodeChannel,
        cluster: ClusterSpec,
        name: str,
        password: str,
        database: str | None,
        admin: bool,
        token: int,
    ) -> DatabaseUser: ...

    async def drop_user(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None: ...

    async def databases(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseInfo]: ...

    async def put_database(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, owner: str | None, token: int
    ) -> DatabaseInfo: ...

    async def drop_database(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None: ...


@runtime_checkable
class BakesSome(Protocol):
    """An engine whose image does not hold all versions that can be on offer: the others need stock images."""

    baked: tuple[str, ...]


@runtime_checkable
class NamesLeader(Protocol):
    """An engine whose members change places while everything that answers on their nodes lives on."""

    async def leader(self, cluster: ClusterSpec, label: str, within: float) -> str | None:
        """Who is the primary, by that node's word; None when it does not say so ``within`` seconds. Never raises."""


@runtime_checkable
class HoldsReads(Protocol):
    """An engine whose replicas may be read right after a write was acknowledged that they don't show yet."""

    async def reads_are_current(self, cluster: ClusterSpec) -> bool:
        """Whether reads on replicas wait until such writes are there. Raises Transient when no node says."""

    async def set_reads(self, channel: NodeChannel, cluster: ClusterSpec, current: bool, token: int) -> None:
        """For sessions that begin from now on; all replicas go by it within a second or two."""


@dataclass(frozen=True)
class Remains:
    """What one node has, by its own word, of a cluster that nobody may begin again without a person."""

    label: str
    answers: bool = False
    serves: bool = False
    history: str = ""
    """Which one its data belong to; empty: it has none."""
    position: int = -1
    """How far they go in it."""
    last_group: tuple[str, ...] = ()
    """Labels of the nodes that it was together with last."""
    note: str = ""
    """Why it waits, for people."""

    def in_words(self) -> str:
        """The evidence, for people."""
        if not self.answers:
            return f"{self.label} does not answer"
        return f"{self.label} is at {self.history[:8]}:{self.position}" if self.history else f"{self.label} has no data"


@runtime_checkable
class Bootstraps(Protocol):
    """An engine whose nodes, once all were lost, go on by themselves only where that is certain to lose nothing."""

    async def remains(self, cluster: ClusterSpec) -> tuple[Remains, ...]:
        """Of every node; never raises for a silent one."""

    async def bootstrap(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """A person's decision: the cluster goes on with that node's data, and what others have besides is given up.

        Raises Invalid or Conflict, with the reason, where there is nothing to decide or another node has more.
        """


class Engines(Protocol):
    """Finds a vendor's engine that makes the topology; empty: the vendor's usual one. Raises Invalid."""

    def __call__(self, vendor: str, topology: str = "") -> Engine: ...
