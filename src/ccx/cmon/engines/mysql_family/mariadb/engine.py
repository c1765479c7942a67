"""MariaDB with a keeper and etcd on the data nodes: failover needs no control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ccx.cmon import egress
from ccx.cmon.backup import ArchiveState, Backup, Findings, Kind, mariadb_backup
from ccx.cmon.engines.base import Port, Software
from ccx.cmon.engines.mysql_family import backing_up, config, keeper, membership, observation, tenants
from ccx.cmon.engines.mysql_family.layout import KEEPER, KEEPER_UNIT, MYSQL, USER
from ccx.cmon.engines.mysql_family.mariadb.endpoints import ETCD, KEEPER_STATUS
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB
from ccx.cmon.etcd import leadership
from ccx.cmon.etcd.layout import ETCD_CLIENT, ETCD_PEER, ETCD_UNIT, carries_etcd
from ccx.cmon.etcd.members import etcd_of
from ccx.cmon.manager import renewal
from ccx.cmon.manager.clients import Clients
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.peers import who_sees
from ccx.cmon.spec import ClusterSpec, ClusterView, DatabaseInfo, DatabaseUser, NodeSpec
from ccx.errors import Invalid, Transient
from ccx.settings import Settings

_VERBS = "mariadb"
_LOOK_EVERY = 0.5
"""Seconds between two looks at whether a restored cluster serves."""

_PROMISES = {
    1: "1: no high availability; if the node is lost, a backup is what is left",
    2: "2: a semi-synchronous copy, but no automatic failover: of two, neither can tell which one is cut off",
    3: "3: highly available; fails over by itself, survives 1 lost at once",
}


class MariaDbEngine:
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = "mariadb"
    topologies = ("replication",)
    speaks = "mysql"
    image = "baked-mariadb"
    ports = (
        Port(MYSQL, "MariaDB", clients=True, peers=True),
        Port(KEEPER, "the keepers' status, and copies of the data", peers=True, control=True),
        Port(ETCD_CLIENT, "etcd, for keepers and fencing", peers=True, control=True),
        Port(ETCD_PEER, "etcd, between its members", peers=True),
    )
    # Its services run under units of ours.
    software = Software(off=("etcd", "mariadb", "nftables", "prometheus-node-exporter", "rsync"))
    reserved_users = tenants.RESERVED_USERS
    reserved_databases = tenants.RESERVED_DATABASES

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients = Clients(settings, KEEPER_STATUS, ETCD)

    def promise(self, size: int) -> str:
        if size not in _PROMISES:
            raise Invalid(
                f"MariaDB with replicas can't have {size} nodes: a write waits for one copy, never for two",
                field="general.cluster_size",
                remedy="Choose 1 (no high availability), 2 (no automatic failover) or 3 (highly available)",
            )
        return _PROMISES[size]

    async def configure(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        directories = [{"path": path, "owner": USER, "mode": "0700"} for path in ("mysql", "mysql/binlog")]
        if carries_etcd(cluster, label):
            directories.append({"path": "etcd", "owner": "etcd", "mode": "0700"})
        if cluster.backup is not None or cluster.origin is not None:
            directories += mariadb_backup.DIRECTORIES
        files = [file.to_json() for file in config.node_files(MARIADB, cluster, label)]
        files += [file.to_json() for file in backing_up.files(MARIADB, cluster, label)]
        calls = [
            {"verb": "prepare-data", "args": {"directories": directories}},
            {"verb": "write-files", "args": {"files": files}},
            *egress.calls(self._settings, cluster, label),
        ]
        await channel.call(cluster.node(label), "sequence", {"calls": calls}, token=token, timeout=300)

    async def certify(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await renewal.install(channel, cluster.node(label), config.tls_files(cluster, label), KEEPER_UNIT, token)

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        return await renewal.shown(self._settings, (KEEPER_STATUS, KEEPER), ETCD, cluster, label)

    async def start(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await asyncio.gather(*(self._start(channel, cluster, node, token) for node in cluster.nodes))
        await membership.begin(self._clients.of(cluster), cluster)

    async def _start(self, channel: NodeChannel, cluster: ClusterSpec, node: NodeSpec, token: int) -> None:
        units = [ETCD_UNIT] * carries_etcd(cluster, node.label) + [MARIADB.unit, KEEPER_UNIT]
        args = {"enable": units, "start": units, "wait": False}
        await channel.call(node, "services", args, token=token, timeout=60)

    async def finish(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await tenants.put_first(channel, _VERBS, await self._primary(cluster), cluster, token)

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        # Those who stay must be able to reach it before it is to take part.
        await egress.tell(channel, self._settings, cluster, token, without=label)
        await membership.join(MARIADB, self._clients.of(cluster), channel, cluster, label, token, progress)
        if cluster.backup is not None:
            units = {"enable": [mariadb_backup.SHIPPER], "start": [mariadb_backup.SHIPPER]}
            await channel.call(cluster.node(label), "services", units, token=token, timeout=60)

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await membership.forget(self._clients.of(cluster), cluster, label)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        return await observation.observe(self._clients.of(cluster), cluster)

    async def alive(self, cluster: ClusterSpec, label: str, within: float) -> bool:
        return await keeper.answers(self._clients.of(cluster).manager, cluster.node(label), within)

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        etcd = etcd_of(self._clients.of(cluster).etcd, cluster, without=dead)
        return await leadership.release(etcd, cluster.short_id, dead)

    async def peers_see(self, channel: NodeChannel, cluster: ClusterSpec, label: str) -> dict[str, bool]:
        return await who_sees(channel, cluster, label, (KEEPER, MYSQL))

    async def switchover(self, cluster: ClusterSpec, to: str) -> None:
        leader = await self._primary(cluster)
        if leader.label != to:
            await keeper.hand_over(self._clients.of(cluster).manager, leader, cluster.node(to))

    async def configure_backups(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await backing_up.configure(MARIADB, channel, cluster, label, token)

    async def start_archiving(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await backing_up.ship(channel, cluster, await self._primary(cluster), token)

    async def back_up(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, kind: Kind, token: int, progress: Progress
    ) -> Backup:
        await self._primary(cluster)
        view = await self.observe(cluster)
        return await backing_up.back_up(MARIADB, channel, cluster, view, name, kind, token, progress)

    async def end_backup(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        await backing_up.end(channel, cluster, name, token)

    async def backups(self, channel: NodeChannel, cluster: ClusterSpec) -> list[Backup]:
        return await backing_up.backups(channel, cluster, await self.observe(cluster))

    async def expire(self, channel: NodeChannel, cluster: ClusterSpec, remove: Sequence[str], token: int) -> None:
        await backing_up.expire(channel, await self._primary(cluster), remove, token)

    async def archive_now(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await backing_up.archive_now(channel, await self._primary(cluster), token)

    async def archive_state(self, channel: NodeChannel, cluster: ClusterSpec) -> ArchiveState:
        found = await channel.call(await self._primary(cluster), "mariadb-archive-state", timeout=5)
        return backing_up.archive_state(found)

    async def follow_restore(self, channel: NodeChannel, cluster: ClusterSpec, progress: Progress) -> None:
        watch = asyncio.create_task(backing_up.watch_restore(channel, mariadb_backup.first_of(cluster), progress))
        try:
            while (await self.observe(cluster)).primary is None:
                await asyncio.wait({watch}, timeout=_LOOK_EVERY)
                if watch.done():
                    watch.result()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def forget_origin(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        files = [file.to_json() for file in mariadb_backup.forgotten()]
        await channel.call(cluster.node(label), "write-files", {"files": files}, token=token)

    async def verify(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> dict[str, Any]:
        return await backing_up.verify(channel, await self._primary(cluster))

    async def read_through(
        self, channel: NodeChannel, cluster: ClusterSpec, backup: str | None, token: int, progress: Progress
    ) -> Findings:
        return await backing_up.read_through(channel, await self._primary(cluster), backup, token, progress)

    async def count(self, channel: NodeChannel, cluster: ClusterSpec, point: str, token: int) -> dict[str, Any]:
        counted = await backing_up.count(channel, await self._primary(cluster))
        await self.archive_now(channel, cluster, token)
        return counted

    async def recount(self, channel: NodeChannel, cluster: ClusterSpec, tables: Sequence[str]) -> dict[str, int]:
        return await backing_up.recount(channel, await self._primary(cluster), tables)

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
