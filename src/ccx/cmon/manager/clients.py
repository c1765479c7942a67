"""HTTP clients to clusters' failover managers and etcd: a pair per cluster, kept, with mutual TLS."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from ccx.cmon.spec import ClusterSpec
from ccx.cmon.tls import client_context
from ccx.network import Endpoint
from ccx.settings import Settings


@dataclass(frozen=True)
class Pair:
    manager: httpx.AsyncClient
    etcd: httpx.AsyncClient


class Kept:
    """Hands out clients to a row of the contract: one per cluster, a new one when its CA or our certificate changed."""

    def __init__(self, settings: Settings, row: Endpoint) -> None:
        self._settings, self._row = settings, row
        self._kept: dict[str, tuple[tuple[str, str], httpx.AsyncClient]] = {}

    def of(self, cluster: ClusterSpec) -> httpx.AsyncClient:
        secrets = cluster.secrets
        identity = (secrets.ca, secrets.control.certificate)
        kept = self._kept.get(cluster.id)
        if kept is not None and kept[0] == identity:
            return kept[1]
        # An old client, if any, ends its connections when the calls that use them are done.
        context = client_context(secrets.ca, secrets.control)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30)
        client = self._row.client(self._settings, verify=context, limits=limits)
        self._kept[cluster.id] = (identity, client)
        return client

    async def close(self) -> None:
        kept, self._kept = self._kept, {}
        for _, client in kept.values():
            await client.aclose()


class Clients:
    """Hands out a cluster's clients."""

    def __init__(self, settings: Settings, manager: Endpoint, etcd: Endpoint) -> None:
        """``manager``, ``etcd``: the contract's rows."""
        self._manager, self._etcd = Kept(settings, manager), Kept(settings, etcd)

    def of(self, cluster: ClusterSpec) -> Pair:
        return Pair(self._manager.of(cluster), self._etcd.of(cluster))

    async def close(self) -> None:
        await self._manager.close()
        await self._etcd.close()
