"""Ending a cluster that another one takes the place of, and starting it again."""

from __future__ import annotations

import asyncio

from ccx.cmon.engines.postgres.layout import PATRONI_UNIT
from ccx.cmon.node_channel import NodeChannel, NodeUnreachable
from ccx.cmon.spec import ClusterSpec, ClusterView, NodeSpec

_STOPPED_WITHIN_S = 150


async def stop(channel: NodeChannel, cluster: ClusterSpec, view: ClusterView, token: int) -> None:
    """Replicas first: they would take over from a primary that ends. That one then archives the last of its log."""
    await asyncio.gather(*(_stop(channel, node, token) for node in cluster.nodes if node.label != view.leading))
    for node in cluster.nodes:
        if node.label == view.leading:
            await _stop(channel, node, token)


async def _stop(channel: NodeChannel, node: NodeSpec, token: int) -> None:
    try:
        await channel.call(node, "services", {"stop": [PATRONI_UNIT]}, token=token, timeout=_STOPPED_WITHIN_S)
    except NodeUnreachable:
        return  # it is turned off next, whatever it does


async def start_again(channel: NodeChannel, node: NodeSpec, token: int) -> None:
    await channel.call(node, "services", {"start": [PATRONI_UNIT]}, token=token, timeout=150)


async def log_position(channel: NodeChannel, primary: NodeSpec) -> tuple[str, int]:
    told = await channel.call(primary, "log-position", timeout=10)
    return str(told["lsn"]), int(told["xid"])
