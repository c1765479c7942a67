"""A primary and its replicas: a keeper and etcd on the data nodes say who leads, without the control plane."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import httpx

from ccx.cmon import egress
from ccx.cmon.engines.base import Port
from ccx.cmon.engines.mysql_family import config, membership, observation
from ccx.cmon.engines.mysql_family.engine import FamilyEngine
from ccx.cmon.engines.mysql_family.layout import KEEPER, KEEPER_UNIT, MYSQL, Flavour
from ccx.cmon.etcd import leadership
from ccx.cmon.etcd.layout import ETCD_CLIENT, ETCD_PEER, ETCD_UNIT, carries_etcd
from ccx.cmon.etcd.members import etcd_of
from ccx.cmon.manager import renewal
from ccx.cmon.manager.clients import Clients
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, ClusterView
from ccx.errors import Invalid
from ccx.network import Endpoint
from ccx.settings import Settings

ETCD_PORTS = (
    Port(ETCD_CLIENT, "etcd, for keepers and fencing", peers=True, control=True),
    Port(ETCD_PEER, "etcd, between its members", peers=True),
)

PROMISES: Mapping[int, str] = MappingProxyType({
    1: "1: no high availability; if the node is lost, a backup is what is left",
    2: "2: a semi-synchronous copy, but no automatic failover: of two, neither can tell which one is cut off",
    3: "3: highly available; fails over by itself, survives 1 lost at once",
})  # fmt: skip


class ReplicationEngine(FamilyEngine):
    """Keeps connections; one per process is enough."""

    topologies = ("replication",)
    seen_by = (KEEPER, MYSQL)
    name: ClassVar[str]
    """For people."""
    flavour: ClassVar[Flavour]
    rows: ClassVar[tuple[Endpoint, Endpoint]]
    """Of the contract: to keepers, and to etcd."""
    promises: ClassVar[Mapping[int, str]] = PROMISES

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._clients = Clients(settings, *self.rows)

    def promise(self, size: int) -> str:
        if size not in self.promises:
            raise Invalid(
                f"{self.name} with replicas can't have {size} nodes: a write waits for one copy, never for two",
                field="general.cluster_size",
                remedy="Choose 1 (no high availability), 2 (no automatic failover) or 3 (highly available)",
            )
        return self.promises[size]

    def _keepers(self, cluster: ClusterSpec) -> httpx.AsyncClient:
        return self._clients.of(cluster).manager

    def _units(self, cluster: ClusterSpec, label: str) -> list[str]:
        return [ETCD_UNIT] * carries_etcd(cluster, label) + [self.flavour.unit, KEEPER_UNIT]

    def _directories(self, cluster: ClusterSpec, label: str) -> list[dict[str, str]]:
        etcd = {"path": "etcd", "owner": "etcd", "mode": "0700"}
        return super()._directories(cluster, label) + [etcd] * carries_etcd(cluster, label)

    def _tls_files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.tls_files(cluster, label)

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        keepers, etcd = self.rows
        return await renewal.shown(self._settings, (keepers, KEEPER), etcd, cluster, label)

    async def start(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await super().start(channel, cluster, token)
        await membership.begin(self._clients.of(cluster), cluster)

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        # Those who stay must be able to reach it before it is to take part.
        await egress.tell(channel, self._settings, cluster, token, without=label)
        await membership.join(self.flavour, self._clients.of(cluster), channel, cluster, label, token, progress)

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await membership.forget(self._clients.of(cluster), cluster, label)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        return await observation.observe(self._clients.of(cluster), cluster)

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        etcd = etcd_of(self._clients.of(cluster).etcd, cluster, without=dead)
        return await leadership.release(etcd, cluster.short_id, dead)

    async def close(self) -> None:
        """Ends the connections that are kept."""
        await self._clients.close()
