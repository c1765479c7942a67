"""Who is a member: joining a running cluster, and being forgotten by it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from ccx.cmon.engines.postgres import config, patroni
from ccx.cmon.engines.postgres.layout import PATRONI_UNIT
from ccx.cmon.etcd.layout import NAMESPACE, carries_etcd
from ccx.cmon.etcd.members import forget_etcd, join_etcd
from ccx.cmon.manager.clients import Pair
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.spec import ClusterSpec
from ccx.errors import Transient

_SILENCE = 120.0
"""Seconds without any word of the new member after which joining is given up for this time."""

_POLL = 0.2


async def admit(http: httpx.AsyncClient, cluster: ClusterSpec, without: str) -> None:
    """Lets all of the cluster's present nodes in to replicate."""
    part = {"postgresql": {"pg_hba": config.access_list(cluster.nodes, cluster.client_sources)}}
    last: Transient | None = None
    for node in cluster.nodes:
        if node.label != without:
            try:
                return await patroni.change(http, node, part)
            except Transient as error:
                last = error
    raise last or Transient("there is no other node to ask")


async def join(
    clients: Pair,
    channel: NodeChannel,
    cluster: ClusterSpec,
    label: str,
    token: int,
    progress: Progress | None,
) -> None:
    """Adds a configured node to the running cluster; returns when it streams."""
    node = cluster.node(label)
    await admit(clients.manager, cluster, without=label)
    if carries_etcd(cluster, label):
        await join_etcd(clients.etcd, channel, cluster, node, token)
    await channel.call(node, "services", {"enable": [PATRONI_UNIT], "start": [PATRONI_UNIT]}, token=token, timeout=150)
    await _until_streaming(clients.manager, cluster, label, progress)


async def _until_streaming(
    http: httpx.AsyncClient, cluster: ClusterSpec, label: str, progress: Progress | None
) -> None:
    loop = asyncio.get_running_loop()
    heard, reported = loop.time(), ""
    while True:
        entry = await _entry(http, cluster, label)
        state = str(entry.get("state", "")) if entry else ""
        if state == "streaming":
            return
        if state and state not in ("stopped", "start failed", "crashed"):
            heard = loop.time()
        elif loop.time() - heard > _SILENCE:
            raise Transient(f"{label} does not come up as a replica: PostgreSQL there is {state or 'silent'}")
        note = _note(label, state, entry)
        if progress is not None and note != reported:
            await progress({"done": 0, "unit": "", "note": note})
            reported = note
        await asyncio.sleep(_POLL)


def _note(label: str, state: str, entry: dict[str, Any] | None) -> str:
    lag = (entry or {}).get("lag")
    behind = f", {lag // 2**20} MiB behind" if isinstance(lag, int) and lag else ""
    return f"{label}: {state or 'waiting for its first word'}{behind}"


async def _entry(http: httpx.AsyncClient, cluster: ClusterSpec, label: str) -> dict[str, Any] | None:
    for node in cluster.nodes:
        try:
            report = await patroni.cluster(http, node)
        except Transient:
            continue
        return next((entry for entry in report["members"] if entry["name"] == label), None)
    return None


async def forget(http: httpx.AsyncClient, cluster: ClusterSpec, label: str) -> None:
    """Removes what etcd and Patroni remember of a member that is gone."""
    etcd = await forget_etcd(http, cluster, label)
    await etcd.delete(f"{NAMESPACE}{cluster.short_id}/members/{label}")
