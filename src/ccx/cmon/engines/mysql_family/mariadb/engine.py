"""MariaDB with a keeper and etcd on the data nodes: failover needs no control plane."""

from __future__ import annotations

import httpx

from ccx.cmon import egress
from ccx.cmon.engines.base import Port
from ccx.cmon.engines.mysql_family import config, handover, membership, observation
from ccx.cmon.engines.mysql_family.backed_up import BackedUpEngine
from ccx.cmon.engines.mysql_family.layout import KEEPER, KEEPER_UNIT, MYSQL
from ccx.cmon.engines.mysql_family.mariadb.endpoints import ETCD, KEEPER_STATUS
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB
from ccx.cmon.engines.mysql_family.mariadb.vendor import IMAGE, SOFTWARE, VENDOR, VERBS
from ccx.cmon.etcd import leadership
from ccx.cmon.etcd.layout import ETCD_CLIENT, ETCD_PEER, ETCD_UNIT, carries_etcd
from ccx.cmon.etcd.members import etcd_of
from ccx.cmon.manager import renewal
from ccx.cmon.manager.clients import Clients
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, ClusterView
from ccx.errors import Invalid
from ccx.settings import Settings

_PROMISES = {
    1: "1: no high availability; if the node is lost, a backup is what is left",
    2: "2: a semi-synchronous copy, but no automatic failover: of two, neither can tell which one is cut off",
    3: "3: highly available; fails over by itself, survives 1 lost at once",
}


class MariaDbEngine(BackedUpEngine):
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = VENDOR
    topologies = ("replication",)
    image = IMAGE
    ports = (
        Port(MYSQL, "MariaDB", clients=True, peers=True),
        Port(KEEPER, "the keepers' status, and copies of the data", peers=True, control=True),
        Port(ETCD_CLIENT, "etcd, for keepers and fencing", peers=True, control=True),
        Port(ETCD_PEER, "etcd, between its members", peers=True),
    )
    software = SOFTWARE
    verbs = VERBS
    flavour = MARIADB
    seen_by = (KEEPER, MYSQL)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._clients = Clients(settings, KEEPER_STATUS, ETCD)

    def promise(self, size: int) -> str:
        if size not in _PROMISES:
            raise Invalid(
                f"MariaDB with replicas can't have {size} nodes: a write waits for one copy, never for two",
                field="general.cluster_size",
                remedy="Choose 1 (no high availability), 2 (no automatic failover) or 3 (highly available)",
            )
        return _PROMISES[size]

    def _keepers(self, cluster: ClusterSpec) -> httpx.AsyncClient:
        return self._clients.of(cluster).manager

    def _units(self, cluster: ClusterSpec, label: str) -> list[str]:
        return [ETCD_UNIT] * carries_etcd(cluster, label) + [self.flavour.unit, KEEPER_UNIT]

    def _directories(self, cluster: ClusterSpec, label: str) -> list[dict[str, str]]:
        etcd = {"path": "etcd", "owner": "etcd", "mode": "0700"}
        return super()._directories(cluster, label) + [etcd] * carries_etcd(cluster, label)

    def _files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.node_files(self.flavour, cluster, label) + self._backup_files(cluster, label)

    def _tls_files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.tls_files(cluster, label)

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        return await renewal.shown(self._settings, (KEEPER_STATUS, KEEPER), ETCD, cluster, label)

    async def start(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await super().start(channel, cluster, token)
        await membership.begin(self._clients.of(cluster), cluster)

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        # Those who stay must be able to reach it before it is to take part.
        await egress.tell(channel, self._settings, cluster, token, without=label)
        await membership.join(self.flavour, self._clients.of(cluster), channel, cluster, label, token, progress)
        await self._ship_from(channel, cluster, label, token)

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await membership.forget(self._clients.of(cluster), cluster, label)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        return await observation.observe(self._clients.of(cluster), cluster)

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        etcd = etcd_of(self._clients.of(cluster).etcd, cluster, without=dead)
        return await leadership.release(etcd, cluster.short_id, dead)

    async def stop(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await handover.stop(self.flavour, channel, cluster, await self.observe(cluster), token)

    async def start_again(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await handover.start_again(channel, cluster, cluster.node(label), self._units(cluster, label), token)

    async def log_position(self, channel: NodeChannel, cluster: ClusterSpec) -> tuple[str, int]:
        return await handover.log_position(channel, await self._primary(cluster))

    async def transaction_at(self, channel: NodeChannel, cluster: ClusterSpec, number: int) -> str | None:
        return await handover.transaction_at(channel, await self._primary(cluster), number)

    async def close(self) -> None:
        """Ends the connections that are kept."""
        await self._clients.close()
