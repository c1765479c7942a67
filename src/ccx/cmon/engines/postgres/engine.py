"""PostgreSQL with Patroni and etcd on the data nodes: failover needs no control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ccx.cmon import egress
from ccx.cmon.backup import ArchiveState, Backup, Findings, Kind, on_nodes, pgbackrest, restoring, standby
from ccx.cmon.engines.base import Port, Proof, Software
from ccx.cmon.engines.postgres import (
    backing_up,
    config,
    handover,
    membership,
    observation,
    patroni,
    placing,
    proving,
    tenants,
    tuning,
)
from ccx.cmon.engines.postgres.endpoints import ETCD, PATRONI_REST
from ccx.cmon.engines.postgres.layout import BACKUP, MANIFEST, PATRONI, PATRONI_UNIT, POSTGRES, data_directory
from ccx.cmon.engines.postgres.view import leader_of
from ccx.cmon.engines.sizing import implied
from ccx.cmon.etcd import leadership
from ccx.cmon.etcd.layout import ETCD_CLIENT, ETCD_PEER, ETCD_UNIT, carries_etcd
from ccx.cmon.etcd.members import etcd_of
from ccx.cmon.manager import renewal
from ccx.cmon.manager.clients import Clients
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.peers import who_sees
from ccx.cmon.primary import primary_of
from ccx.cmon.spec import ClusterSpec, ClusterView, DatabaseInfo, DatabaseUser, NodeSpec
from ccx.errors import Invalid, Transient
from ccx.settings import Settings

_LOOK_EVERY, _LOOK_SELDOM = 0.5, 2.0
"""Seconds between two looks at whether a restored cluster serves; and while it can't yet."""

_PROMISES = {
    1: "1: no high availability; if the node is lost, a backup is what is left",
    2: "2: a synchronous copy, but no automatic failover: of two, neither can tell which one is cut off",
}


class PostgresEngine:
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = "postgres"
    topologies = ("postgres_streaming",)
    speaks = "postgresql"
    places = "lsn"
    image = "baked"
    written_last = MANIFEST
    ports = (
        Port(POSTGRES, "PostgreSQL", clients=True, peers=True),
        Port(PATRONI, "Patroni's REST API", peers=True, control=True),
        Port(ETCD_CLIENT, "etcd, for Patroni and fencing", peers=True, control=True),
        Port(ETCD_PEER, "etcd, between its members", peers=True),
        Port(BACKUP, "pgBackRest, while a replica makes a backup", peers=True),
    )
    # No cluster of Debian's own making; and its services run under units of ours.
    software = Software(
        files=(("/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n"),),
        off=("etcd", "nftables", "patroni", "postgresql", "prometheus-node-exporter", "prometheus-postgres-exporter"),
    )
    reserved_users = tenants.RESERVED_USERS
    reserved_databases = tenants.RESERVED_DATABASES
    reserved_beginnings = ("pg_",)
    proofs = (
        Proof(
            ("17",), "on real nodes: all that is said here",
            ("e2e/test_postgres.py", "e2e/test_failover.py", "e2e/test_backup.py", "e2e/test_restore_in_place.py"),
        ),
    )  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients = Clients(settings, PATRONI_REST, ETCD)

    def parameters(self, memory_mib: int, cpus: int) -> dict[str, str]:
        return implied(tuning.of_size, memory_mib, cpus)

    def promise(self, size: int) -> str:
        if not 1 <= size <= 9:
            raise Invalid(
                f"PostgreSQL can't have {size} nodes",
                field="general.cluster_size",
                remedy="Choose 1 (no high availability), 2 (no automatic failover) or 3 to 9 (highly available)",
            )
        lost = (1 if size <= 4 else 2) if size >= 3 else 0
        return _PROMISES.get(size) or f"{size}: highly available; fails over by itself, survives {lost} lost at once"

    async def configure(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        node = cluster.node(label)
        directories = [{"path": "postgresql", "owner": "postgres", "mode": "0700"}]
        if carries_etcd(cluster, label):
            directories.append({"path": "etcd", "owner": "etcd", "mode": "0700"})
        files = [file.to_json() for file in config.node_files(cluster, label)]
        if cluster.backup is not None:
            directories += pgbackrest.DIRECTORIES
            files += [file.to_json() for file in pgbackrest.node_files(cluster, cluster.backup)]
        if cluster.origin is not None:
            directories += pgbackrest.DIRECTORIES
            files += [file.to_json() for file in pgbackrest.restore_files(cluster, cluster.origin)]
        calls = [
            {"verb": "prepare-data", "args": {"directories": directories}},
            {"verb": "write-files", "args": {"files": files}},
            *egress.calls(self._settings, cluster, label),
        ]
        await channel.call(node, "sequence", {"calls": calls}, token=token, timeout=300)

    async def certify(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await renewal.install(channel, cluster.node(label), config.tls_files(cluster, label), PATRONI_UNIT, token)

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        return await renewal.shown(self._settings, (PATRONI_REST, PATRONI), ETCD, cluster, label)

    async def start(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await asyncio.gather(*(self._start(channel, cluster, node, token) for node in cluster.nodes))

    async def _start(self, channel: NodeChannel, cluster: ClusterSpec, node: NodeSpec, token: int) -> None:
        units = [ETCD_UNIT] * carries_etcd(cluster, node.label) + [PATRONI_UNIT]
        await channel.call(node, "services", {"enable": units, "start": units}, token=token, timeout=150)

    async def finish(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await tenants.put_first(channel, await self._primary(cluster), cluster, token)

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        # Those who stay must be able to reach it before it is to take part.
        await egress.tell(channel, self._settings, cluster, token, without=label)
        await membership.join(self._clients.of(cluster), channel, cluster, label, token, progress)

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        # Its replication slot is Patroni's, which gives it up ten minutes after it saw the member last.
        await membership.forget(self._clients.of(cluster).etcd, cluster, label)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        return await observation.observe(self._clients.of(cluster), cluster)

    async def alive(self, cluster: ClusterSpec, label: str, within: float) -> bool:
        return await patroni.answers(self._clients.of(cluster).manager, cluster.node(label), within)

    async def leader(self, cluster: ClusterSpec, label: str, within: float) -> str | None:
        try:
            said = await patroni.cluster(self._clients.of(cluster).manager, cluster.node(label), within)
        except Transient:
            return None
        return leader_of(said)

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        etcd = etcd_of(self._clients.of(cluster).etcd, cluster, without=dead)
        return await leadership.release(etcd, cluster.short_id, dead)

    async def peers_see(self, channel: NodeChannel, cluster: ClusterSpec, label: str) -> dict[str, bool]:
        return await who_sees(channel, cluster, label, (PATRONI, POSTGRES))

    async def switchover(self, cluster: ClusterSpec, to: str) -> None:
        leader = await self._primary(cluster)
        if leader.label != to:
            await patroni.switchover(self._clients.of(cluster).manager, leader, cluster.node(to))

    async def configure_backups(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await backing_up.configure(channel, cluster, label, token)

    async def start_archiving(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        primary = await self._primary(cluster)
        await patroni.change(self._clients.of(cluster).manager, primary, pgbackrest.archiving(cluster))
        args = {"stanza": cluster.archive_name}
        await on_nodes.ask(channel, primary, "backup-enable", args, "archive the log", token=token, timeout=180)

    async def back_up(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, kind: Kind, token: int, progress: Progress
    ) -> Backup:
        view = await self.observe(cluster)
        one = placing.Wanted(cluster, primary_of(cluster, view), name, kind, token)
        return await placing.back_up(channel, one, standby.choose(view), progress)

    async def end_backup(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        await on_nodes.clear(channel, cluster, "backup-clear", {"name": name}, token)

    async def backups(self, channel: NodeChannel, cluster: ClusterSpec) -> list[Backup]:
        args = {"stanza": cluster.archive_name}
        found = await on_nodes.ask(channel, await self._primary(cluster), "backups", args, "list the backups")
        return [pgbackrest.backup_of(one) for one in found["backups"]]

    async def expire(self, channel: NodeChannel, cluster: ClusterSpec, remove: Sequence[str], token: int) -> None:
        args = {"stanza": cluster.archive_name, "remove": list(remove)}
        primary = await self._primary(cluster)
        await on_nodes.ask(channel, primary, "backup-expire", args, "remove old backups", token=token, timeout=570)

    async def archive_now(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        primary = await self._primary(cluster)
        ended = await channel.call(primary, "backup-mark", token=token)
        await channel.call(primary, "backup-marked", {"segment": ended["segment"], "limit": 60}, timeout=90)

    async def archive_state(self, channel: NodeChannel, cluster: ClusterSpec) -> ArchiveState:
        args = {"data": str(data_directory(cluster.version))}
        found = await channel.call(await self._primary(cluster), "archive-state", args, timeout=5)
        return on_nodes.archive_state(found, found["waiting"] * backing_up.SEGMENT)

    async def follow_restore(self, channel: NodeChannel, cluster: ClusterSpec, progress: Progress) -> None:
        every = _LOOK_EVERY

        async def follow(seen: dict[str, Any]) -> None:
            nonlocal every
            # Each look is work for a node that has enough of it, and while it copies there is nothing to be seen.
            every = _LOOK_SELDOM if seen["state"] == "restoring" else _LOOK_EVERY
            await progress({"done": seen["done"], "unit": "bytes", "note": seen["note"]})

        watches = [asyncio.create_task(backing_up.watch_restore(channel, node, follow)) for node in cluster.nodes]
        try:
            while (await self.observe(cluster)).primary is None:
                await asyncio.wait(watches, timeout=every, return_when=asyncio.FIRST_COMPLETED)
                for ended in watches:
                    if ended.done():
                        ended.result()
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def verify(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> dict[str, Any]:
        primary = await self._primary(cluster)
        args = {"bin": f"/usr/lib/postgresql/{cluster.version}/bin"}
        return await channel.call(primary, "postgres-verify", args, token=token, timeout=6 * 3600)

    async def read_through(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, backup: str | None, token: int, progress: Progress
    ) -> Findings:
        primary = await self._primary(cluster)
        return await proving.read_through(channel, cluster, primary, name, backup, token, progress)

    async def count(self, channel: NodeChannel, cluster: ClusterSpec, point: str, token: int) -> dict[str, Any]:
        counted = await proving.count(channel, await self._primary(cluster), point, token)
        await self.archive_now(channel, cluster, token)
        return counted

    async def recount(self, channel: NodeChannel, cluster: ClusterSpec, tables: Sequence[str]) -> dict[str, int]:
        return await proving.recount(channel, await self._primary(cluster), tables)

    async def forget_origin(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        empty = {"path": str(restoring.CONFIGURED_BY), "content": "", "mode": "0600", "owner": "postgres"}
        await channel.call(cluster.node(label), "write-files", {"files": [empty]}, token=token)

    async def stop(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await handover.stop(channel, cluster, await self.observe(cluster), token)

    async def start_again(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await handover.start_again(channel, cluster.node(label), token)

    async def log_position(self, channel: NodeChannel, cluster: ClusterSpec) -> tuple[str, int]:
        return await handover.log_position(channel, await self._primary(cluster))

    async def users(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseUser]:
        return await tenants.users(channel, await self._primary(cluster))

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
        return await tenants.put_user(channel, await self._primary(cluster), name, password, database, admin, token)

    async def drop_user(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        tenants.check_user(name)
        await tenants.drop_user(channel, await self._primary(cluster), cluster, name, token)

    async def databases(self, channel: NodeChannel, cluster: ClusterSpec) -> list[DatabaseInfo]:
        return await tenants.databases(channel, await self._primary(cluster))

    async def put_database(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, owner: str | None, token: int
    ) -> DatabaseInfo:
        tenants.check_database(name)
        primary = await self._primary(cluster)
        return await tenants.put_database(channel, primary, name, owner or cluster.admin_user, token)

    async def drop_database(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        tenants.check_database(name)
        await channel.call(await self._primary(cluster), "postgres-database-drop", {"name": name}, token=token)

    async def close(self) -> None:
        """Ends the connections that are kept."""
        await self._clients.close()

    async def _primary(self, cluster: ClusterSpec) -> NodeSpec:
        """The node that accepts writes now."""
        return primary_of(cluster, await self.observe(cluster))
