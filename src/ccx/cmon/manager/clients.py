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


class Clients:
    """Hands out a cluster's clients; makes new ones when its CA or our certificate changed."""

    def __init__(self, settings: Settings, manager: Endpoint, etcd: Endpoint) -> None:
        """``manager``, ``etcd``: the contract's rows."""
        self._settings = settings
        self._manager, self._etcd = manager, etcd
        self._kept: dict[str, tuple[tuple[str, str], Pair]] = {}

    def of(self, cluster: ClusterSpec) -> Pair:
        secrets = cluster.secrets
        identity = (secrets.ca, secrets.control.certificate)
        kept = self._kept.get(cluster.id)
        if kept is not None and kept[0] == identity:
            return kept[1]
        # Old clients, if any, end their connections when the calls that use them are done.
        context = client_context(secrets.ca, secrets.control)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30)
        pair = Pair(
            self._manager.client(self._settings, verify=context, limits=limits),
            self._etcd.client(self._settings, verify=context, limits=limits),
        )
        self._kept[cluster.id] = (identity, pair)
        return pair

    async def close(self) -> None:
        kept, self._kept = self._kept, {}
        for _, pair in kept.values():
            await pair.manager.aclose()
            await pair.etcd.aclose()
