"""MariaDB with Galera: its members are their own consensus, and a keeper on each sees that one accepts writes."""

from __future__ import annotations

import asyncio
from functools import partial

from ccx.cmon import egress
from ccx.cmon.engines.base import Port, Software
from ccx.cmon.engines.mysql_family import keeper, tenants
from ccx.cmon.engines.mysql_family.galera import config, membership
from ccx.cmon.engines.mysql_family.galera.layout import FLAVOUR, GROUP, IST, SST
from ccx.cmon.engines.mysql_family.galera.view import to_view
from ccx.cmon.engines.mysql_family.layout import KEEPER, KEEPER_UNIT, MYSQL, USER
from ccx.cmon.engines.mysql_family.mariadb.endpoints import KEEPER_STATUS
from ccx.cmon.manager import renewal
from ccx.cmon.manager.clients import Kept
from ccx.cmon.manager.look import reports_of
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.peers import who_sees
from ccx.cmon.spec import ClusterSpec, ClusterView, DatabaseInfo, DatabaseUser, NodeSpec
from ccx.errors import Invalid, Transient
from ccx.settings import Settings

_VERBS = "mariadb"

_PROMISES = {
    1: "1: no high availability, a group of its own; if the node is lost, a backup is what is left",
    3: "3: highly available; every member has every write, survives 1 lost at once",
    5: "5: highly available; every member has every write, survives 2 lost at once",
}


class GaleraEngine:
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = "mariadb"
    topologies = ("galera",)
    speaks = "mysql"
    image = "baked-mariadb"
    ports = (
        Port(MYSQL, "MariaDB", clients=True),
        Port(KEEPER, "the keepers' status, and copies of the data", peers=True, control=True),
        Port(GROUP, "the group", peers=True),
        Port(IST, "what a member missed", peers=True),
        Port(SST, "a whole copy, where what it missed is not kept any more", peers=True),
    )
    # Its services run under units of ours.
    software = Software(off=("etcd", "mariadb", "nftables", "prometheus-node-exporter", "rsync"))
    reserved_users = tenants.RESERVED_USERS
    reserved_databases = tenants.RESERVED_DATABASES

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients = Kept(settings, KEEPER_STATUS)

    def promise(self, size: int) -> str:
        if size in _PROMISES:
            return _PROMISES[size]
        why = (
            "when one of two is lost, the other can't tell whether it is cut off, and stops too"
            if size == 2
            else "an even count survives no more losses than one node fewer, and halves stop each other"
            if size % 2 == 0
            else "every write goes to all of them"
        )
        raise Invalid(
            f"Galera can't have {size} nodes: {why}",
            field="general.cluster_size",
            remedy="Choose 1 (no high availability), 3 or 5 (highly available)",
        )

    async def configure(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        directories = [{"path": path, "owner": USER, "mode": "0700"} for path in ("mysql", "mysql/binlog")]
        files = [file.to_json() for file in config.node_files(cluster, label)]
        calls = [
            {"verb": "prepare-data", "args": {"directories": directories}},
            {"verb": "write-files", "args": {"files": files}},
            *egress.calls(self._settings, cluster, label),
        ]
        await channel.call(cluster.node(label), "sequence", {"calls": calls}, token=token, timeout=300)

    async def certify(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await renewal.install(channel, cluster.node(label), config.tls_files(cluster, label), KEEPER_UNIT, token)

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        return await renewal.shown(self._settings, (KEEPER_STATUS, KEEPER), None, cluster, label)

    async def start(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        units = [FLAVOUR.unit, KEEPER_UNIT]
        args = {"enable": units, "start": units, "wait": False}

        async def one(node: NodeSpec) -> None:
            await channel.call(node, "services", args, token=token, timeout=60)

        await asyncio.gather(*map(one, cluster.nodes))

    async def finish(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await tenants.put_first(channel, _VERBS, await self._primary(cluster), cluster, token)

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        # Those who stay must be able to reach it before it is to take part.
        await egress.tell(channel, self._settings, cluster, token, without=label)
        await membership.join(self._clients.of(cluster), channel, cluster, label, token, progress)

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        # The group has done so by itself; its members shall not look for it when they start.
        staying = [node.label for node in cluster.nodes if node.label != label]
        await membership.tell(channel, cluster, staying, token)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        return to_view(cluster, await reports_of(cluster, partial(keeper.status, self._clients.of(cluster))))

    async def alive(self, cluster: ClusterSpec, label: str, within: float) -> bool:
        return await keeper.answers(self._clients.of(cluster), cluster.node(label), within)

    async def leader(self, cluster: ClusterSpec, label: str, within: float) -> str | None:
        try:
            said = await keeper.status(self._clients.of(cluster), cluster.node(label), within)
        except Transient:
            return None
        return said.get("leader") if said.get("serves") else None

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        """The others need no word of ours: they give it up by themselves, and one of them takes its place."""
        reports = await reports_of(cluster, partial(keeper.status, self._clients.of(cluster)))
        if not any(label != dead for label in reports):
            raise Transient(f"no member but {dead} answers")
        return any(report.get("leader") == dead for report in reports.values())

    async def peers_see(self, channel: NodeChannel, cluster: ClusterSpec, label: str) -> dict[str, bool]:
        return await who_sees(channel, cluster, label, (KEEPER, GROUP))

    async def switchover(self, cluster: ClusterSpec, to: str) -> None:
        writer = await self._primary(cluster)
        if writer.label != to:
            await keeper.hand_over(self._clients.of(cluster), writer, cluster.node(to))

    async def users(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseUser]:
        return await tenants.users(channel, _VERBS, await self._primary(cluster))

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
        tenants.check_user(name)
        primary = await self._primary(cluster)
        return await tenants.put_user(channel, _VERBS, primary, name, password, database, admin, token)

    async def drop_user(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        tenants.check_user(name)
        await tenants.drop_user(channel, _VERBS, await self._primary(cluster), cluster, name, token)

    async def databases(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseInfo]:
        return await tenants.databases(channel, _VERBS, await self._primary(cluster), cluster)

    async def put_database(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, owner: str | None, token: int
    ) -> DatabaseInfo:
        tenants.check_database(name)
        primary = await self._primary(cluster)
        return await tenants.put_database(channel, _VERBS, primary, name, owner or cluster.admin_user, token)

    async def drop_database(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        tenants.check_database(name)
        primary = await self._primary(cluster)
        await channel.call(primary, f"{_VERBS}-database-drop", {"name": name}, token=token)

    async def close(self) -> None:
        """Ends the connections that are kept."""
        await self._clients.close()

    async def _primary(self, cluster: ClusterSpec) -> NodeSpec:
        """The node that accepts writes now."""
        view = await self.observe(cluster)
        if view.primary is None:
            raise Transient("the cluster has no primary at the moment: " + "; ".join(view.problems))
        return cluster.node(view.primary.label)
