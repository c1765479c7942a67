"""Ending a cluster that another one takes the place of, and starting it again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ccx.cmon.backup import mariadb_backup
from ccx.cmon.backup.on_nodes import ask
from ccx.cmon.engines.mysql_family.layout import KEEPER_UNIT, Flavour
from ccx.cmon.node_channel import NodeChannel, NodeUnreachable
from ccx.cmon.spec import ClusterSpec, ClusterView, NodeSpec

_SERVER_S, _STORED_S = 125.0, 60.0


async def stop(flavour: Flavour, channel: NodeChannel, cluster: ClusterSpec, view: ClusterView, token: int) -> None:
    """First who could take the primary's place; then the primary, whose log's end goes into the store; then the rest.

    Replicas receive as long as the primary runs: no write that is being acknowledged waits for a copy that never comes.
    Members of a group leave it before: the one that is left has every write, and acknowledges alone.
    """
    primary = next((node for node in cluster.nodes if node.label == view.leading), None)
    others = [node for node in cluster.nodes if node != primary]
    ends = [mariadb_backup.SHIPPER] * (cluster.backup is not None) + [flavour.unit]
    first, then = ([KEEPER_UNIT, *ends], []) if flavour.group else ([KEEPER_UNIT], ends)
    await asyncio.gather(*(_stop(channel, node, first, token, _SERVER_S) for node in others))
    ended = primary is not None and await _stop(channel, primary, [KEEPER_UNIT, *ends], token, _SERVER_S)
    try:
        if primary is not None and ended and cluster.backup is not None:
            what = "store the end of the log"
            await ask(channel, primary, "mariadb-ship-rest", {}, what, token=token, timeout=_STORED_S)
    finally:
        await asyncio.gather(*(_stop(channel, node, then, token, _SERVER_S) for node in others if then))


async def _stop(channel: NodeChannel, node: NodeSpec, units: Sequence[str], token: int, within: float) -> bool:
    """Whether the node did it; one that is away is turned off next, whatever it does."""
    try:
        await channel.call(node, "services", {"stop": list(units)}, token=token, timeout=within)
    except NodeUnreachable:
        return False
    return True


async def start_again(
    channel: NodeChannel, cluster: ClusterSpec, node: NodeSpec, units: Sequence[str], token: int
) -> None:
    """``units``: the node's services, in their order."""
    shipper = [mariadb_backup.SHIPPER] * (cluster.backup is not None)
    args = {"start": [*units, *shipper], "wait": False}
    await channel.call(node, "services", args, token=token, timeout=60)


async def log_position(channel: NodeChannel, primary: NodeSpec) -> tuple[str, int]:
    """The last transaction, and the number that the next one gets."""
    told = await channel.call(primary, "mariadb-log-position", timeout=10)
    return str(told["gtid"]), 1 + int(told["number"])


async def transaction_at(channel: NodeChannel, primary: NodeSpec, number: int) -> str | None:
    told = await channel.call(primary, "mariadb-log-transaction", {"number": number}, timeout=10)
    return str(told["gtid"]) or None
