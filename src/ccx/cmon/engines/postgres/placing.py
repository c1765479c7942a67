"""Where a backup is made: where it runs already; on a replica, if one is good for it; else on the primary."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from ccx.cmon.backup import Backup, Kind, standby
from ccx.cmon.backup.on_nodes import begun
from ccx.cmon.engines.postgres import backing_up
from ccx.cmon.engines.postgres.layout import BACKUP
from ccx.cmon.node_channel import NodeChannel, NodeUnreachable, Progress
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.errors import CcxError

_SERVES_WITHIN_S, _LOOK_EVERY_S = 10.0, 0.5

log = structlog.get_logger()


@dataclass(frozen=True)
class Wanted:
    """A backup that is to be made."""

    cluster: ClusterSpec
    primary: NodeSpec
    name: str
    kind: Kind
    token: int


async def back_up(channel: NodeChannel, wanted: Wanted, replica: str | None, progress: Progress) -> Backup:
    """``replica``: the label of one that is good for it. What fails there is made on the primary.

    But not when nobody knows whether it still runs there: then that is for the caller to try again.
    """
    cluster, primary = wanted.cluster, wanted.primary
    node = await begun(channel, cluster, wanted.name)
    if node is not None:
        return await _on(channel, wanted, node, progress)
    if replica is not None and replica != primary.label:
        node = cluster.node(replica)
        try:
            if await _served(channel, wanted, node):
                return await _on(channel, wanted, node, progress)
        except NodeUnreachable:
            raise
        except CcxError as error:
            log.warning("a replica made no backup", datastore=cluster.short_id, node=replica, reason=str(error))
    await backing_up.configure(channel, cluster, primary.label, wanted.token)
    return await _on(channel, wanted, primary, progress)


async def _on(channel: NodeChannel, wanted: Wanted, node: NodeSpec, progress: Progress) -> Backup:
    cluster, primary = wanted.cluster, wanted.primary
    return await backing_up.back_up(
        channel, cluster, node, primary, wanted.name, wanted.kind, wanted.token, progress
    )  # fmt: skip


async def _served(channel: NodeChannel, wanted: Wanted, replica: NodeSpec) -> bool:
    """Readies both; whether the replica reaches the primary's server. It does not where the way between is closed."""
    cluster, primary, token = wanted.cluster, wanted.primary, wanted.token
    assert cluster.backup is not None
    await backing_up.configure(channel, cluster, replica.label, token)
    await backing_up.put(channel, replica, standby.replica_files(cluster, cluster.backup, primary), token)
    await backing_up.put(channel, primary, standby.primary_files(cluster, primary, replica), token)
    await channel.call(primary, "backup-serve", token=token)
    asked = {"targets": [[primary.hostname, BACKUP]], "limit": 1.0}
    deadline = asyncio.get_running_loop().time() + _SERVES_WITHIN_S
    while not any(seen for *_, seen in (await channel.call(replica, "reachable", asked))["reachable"]):
        if asyncio.get_running_loop().time() > deadline:
            log.info(
                "a replica does not reach the primary for a backup", datastore=cluster.short_id, node=replica.label
            )
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True
