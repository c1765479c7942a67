"""What all engines of the family do alike, whoever says which of a cluster's nodes accepts writes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar

import httpx

from ccx.cmon import egress
from ccx.cmon.engines.base import Proof
from ccx.cmon.engines.mysql_family import keeper, tenants, tuning
from ccx.cmon.engines.mysql_family.layout import KEEPER_UNIT, USER
from ccx.cmon.engines.mysql_family.passwords import native_hash
from ccx.cmon.engines.sizing import implied
from ccx.cmon.manager import renewal
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.node_file import NodeFile
from ccx.cmon.peers import who_sees
from ccx.cmon.primary import primary_of
from ccx.cmon.spec import ClusterSpec, ClusterView, DatabaseInfo, DatabaseUser, NodeSpec
from ccx.settings import Settings


class FamilyEngine(ABC):
    """Most of :class:`ccx.cmon.engines.base.Engine`, for servers with a keeper of ours on each node."""

    speaks = "mysql"
    places: ClassVar[str] = "mariadb-gtid"
    reserved_users = tenants.RESERVED_USERS
    reserved_databases = tenants.RESERVED_DATABASES
    reserved_beginnings: tuple[str, ...] = ()
    verbs: ClassVar[str]
    """What the agent's verbs for this server begin with."""
    seen_by: ClassVar[tuple[int, ...]]
    """Ports by which nodes see that another one lives."""
    proofs: ClassVar[tuple[Proof, ...]] = ()
    longest_user: ClassVar[int] = 80
    """Characters of a user's name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @staticmethod
    def verifier(password: str) -> str:
        """What the server keeps in place of a password."""
        return native_hash(password)

    @abstractmethod
    async def observe(self, cluster: ClusterSpec) -> ClusterView: ...

    @abstractmethod
    def _keepers(self, cluster: ClusterSpec) -> httpx.AsyncClient:
        """The client for the cluster's keepers."""

    @abstractmethod
    def _units(self, cluster: ClusterSpec, label: str) -> list[str]:
        """The services of a node, in the order in which they start."""

    @abstractmethod
    def _files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        """All files of a node of a new cluster."""

    @abstractmethod
    def _tls_files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        """Those of them that are its certificate, its key and the CA."""

    def parameters(self, memory_mib: int, cpus: int) -> dict[str, str]:
        return implied(tuning.shown, memory_mib, cpus)

    def _directories(self, cluster: ClusterSpec, label: str) -> list[dict[str, str]]:
        """On a node's volume."""
        return [{"path": path, "owner": USER, "mode": "0700"} for path in ("mysql", "mysql/binlog")]

    async def configure(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        files = [file.to_json() for file in self._files(cluster, label)]
        calls = [
            {"verb": "prepare-data", "args": {"directories": self._directories(cluster, label)}},
            {"verb": "write-files", "args": {"files": files}},
            *egress.calls(self._settings, cluster, label),
        ]
        await channel.call(cluster.node(label), "sequence", {"calls": calls}, token=token, timeout=300)

    async def certify(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await renewal.install(channel, cluster.node(label), self._tls_files(cluster, label), KEEPER_UNIT, token)

    async def start(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        async def one(node: NodeSpec) -> None:
            units = self._units(cluster, node.label)
            args = {"enable": units, "start": units, "wait": False}
            await channel.call(node, "services", args, token=token, timeout=60)

        await asyncio.gather(*map(one, cluster.nodes))

    async def finish(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await tenants.put_first(channel, self.verbs, self.verifier, await self._primary(cluster), cluster, token)

    async def alive(self, cluster: ClusterSpec, label: str, within: float) -> bool:
        return await keeper.answers(self._keepers(cluster), cluster.node(label), within)

    async def leader(self, cluster: ClusterSpec, label: str, within: float) -> str | None:
        return await keeper.leader(self._keepers(cluster), cluster.node(label), within)

    async def peers_see(self, channel: NodeChannel, cluster: ClusterSpec, label: str) -> dict[str, bool]:
        return await who_sees(channel, cluster, label, self.seen_by)

    async def switchover(self, cluster: ClusterSpec, to: str) -> None:
        primary = await self._primary(cluster)
        if primary.label != to:
            await keeper.hand_over(self._keepers(cluster), primary, cluster.node(to))

    async def users(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseUser]:
        return await tenants.users(channel, self.verbs, await self._primary(cluster))

    async def put_user(
        self,
        channel: NodeChannel,
        cluster: ClusterSpec,
        name: str,
        password: str,
        database: str | None,
        admin: bool,
        token: int,
    ) -> DatabaseUser:
        tenants.check_user(name, self.longest_user)
        primary = await self._primary(cluster)
        return await tenants.put_user(
            channel, self.verbs, self.verifier, primary, name, password, database, admin, token
        )  # fmt: skip

    async def drop_user(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        tenants.check_user(name, self.longest_user)
        await tenants.drop_user(channel, self.verbs, await self._primary(cluster), cluster, name, token)

    async def databases(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseInfo]:
        return await tenants.databases(channel, self.verbs, await self._primary(cluster), cluster)

    async def put_database(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, owner: str | None, token: int
    ) -> DatabaseInfo:
        tenants.check_database(name)
        primary = await self._primary(cluster)
        return await tenants.put_database(channel, self.verbs, primary, name, owner or cluster.admin_user, token)

    async def drop_database(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        tenants.check_database(name)
        primary = await self._primary(cluster)
        await channel.call(primary, f"{self.verbs}-database-drop", {"name": name}, token=token)

    async def _primary(self, cluster: ClusterSpec) -> NodeSpec:
        """The node that accepts writes now. Raises Transient when there is none."""
        return primary_of(cluster, await self.observe(cluster))
