"""HTTP clients to clusters' Patroni and etcd: one per cluster, kept, with mutual TLS."""

from __future__ import annotations

import httpx

from ccx.cmon.spec import ClusterSpec
from ccx.cmon.tls import client_context


class Clients:
    """Hands out a cluster's client; makes a new one when its CA or our certificate changed."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[str, str], httpx.AsyncClient]] = {}

    def of(self, cluster: ClusterSpec) -> httpx.AsyncClient:
        secrets = cluster.secrets
        identity = (secrets.ca, secrets.control.certificate)
        kept = self._kept.get(cluster.id)
        if kept is not None and kept[0] == identity and not kept[1].is_closed:
            return kept[1]
        # The old client, if any, ends its connections when the calls that use it are done with it.
        client = httpx.AsyncClient(
            verify=client_context(secrets.ca, secrets.control),
            timeout=3,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30),
        )
        self._kept[cluster.id] = (identity, client)
        return client

    async def close(self) -> None:
        kept, self._kept = self._kept, {}
        for _, client in kept.values():
            await client.aclose()
