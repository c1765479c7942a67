"""What the nodes of a cluster see of each other: the answer to "is it gone, or is it only us who lost it?"."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.errors import CcxError, Transient

_WITHIN = 3.0
"""Seconds for a peer to say whether it sees a node; silence is no answer."""


async def who_sees(channel: NodeChannel, cluster: ClusterSpec, label: str, ports: Sequence[int]) -> dict[str, bool]:
    """Whether each other node reaches ``label`` at one of these ports; a node that does not answer is left out."""
    target = cluster.node(label).address
    args = {"targets": [[target, port] for port in ports], "limit": 1.0}

    async def ask(peer: NodeSpec) -> tuple[str, bool] | None:
        try:
            async with asyncio.timeout(_WITHIN):
                found = await channel.call(peer, "reachable", args, timeout=_WITHIN)
        except (Transient, CcxError, TimeoutError):
            return None
        return peer.label, any(seen for _, _, seen in found["reachable"])

    votes = await asyncio.gather(*(ask(peer) for peer in cluster.nodes if peer.label != label))
    return dict(vote for vote in votes if vote is not None)
