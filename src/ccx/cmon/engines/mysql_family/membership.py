"""Who is a member: what the keepers are told in etcd, joining a running cluster, and being forgotten by it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from ccx.cmon.engines.mysql_family import config, keeper
from ccx.cmon.engines.mysql_family.layout import KEEPER_UNIT, Flavour
from ccx.cmon.engines.mysql_family.observation import observe
from ccx.cmon.etcd.client import Etcd, EtcdRefused, EtcdSilent
from ccx.cmon.etcd.layout import NAMESPACE, carries_etcd
from ccx.cmon.etcd.members import etcd_of, forget_etcd, join_etcd
from ccx.cmon.manager.clients import Pair
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.errors import Transient

_POLL, _SOON = 0.25, 0.1
_SILENCE = 120.0
"""Seconds without any word of the new member after which joining is given up for this time."""
_CAUGHT_UP = 30.0
"""Seconds for a replica to receive what a lost one may have acknowledged."""
_ETCD_STARTS = 60.0


async def name_members(etcd: Etcd, cluster: ClusterSpec, nodes: Iterable[NodeSpec], within: float = 5) -> None:
    """Tells the keepers who belongs to the cluster: nobody leads before all of these but one have been heard."""
    told = json.dumps({node.label: node.address for node in nodes})
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    return await etcd.put(f"{NAMESPACE}{cluster.short_id}/nodes", told)
                except (EtcdSilent, EtcdRefused):
                    await asyncio.sleep(_SOON)
    except TimeoutError:
        raise Transient(f"etcd of {cluster.short_id} does not take who its members are") from None


async def begin(clients: Pair, cluster: ClusterSpec) -> None:
    """For a new cluster, whose etcd is just starting."""
    await name_members(etcd_of(clients.etcd, cluster), cluster, cluster.nodes, _ETCD_STARTS)


async def join(
    flavour: Flavour,
    clients: Pair,
    channel: NodeChannel,
    cluster: ClusterSpec,
    label: str,
    token: int,
    progress: Progress | None,
) -> None:
    """Adds a configured node to the running cluster; returns when it streams."""
    node = cluster.node(label)
    told = config.keeper_file(flavour, cluster, node, joining=True)
    await channel.call(node, "write-files", {"files": [told.to_json()]}, token=token)
    if carries_etcd(cluster, label):
        await join_etcd(clients.etcd, channel, cluster, node, token)
    # Before it receives anything: what it acknowledged must be asked for when a primary is chosen.
    await name_members(etcd_of(clients.etcd, cluster), cluster, cluster.nodes)
    units = [flavour.unit, KEEPER_UNIT]
    await channel.call(node, "services", {"enable": units, "start": units, "wait": False}, token=token, timeout=60)
    await _until_streaming(clients, cluster, label, progress)


async def _until_streaming(clients: Pair, cluster: ClusterSpec, label: str, progress: Progress | None) -> None:
    loop = asyncio.get_running_loop()
    heard, reported = loop.time(), ""
    while True:
        view = await observe(clients, cluster)
        member = next((m for m in view.members if m.label == label), None)
        if member is not None and member.healthy and member.synchronous:
            return
        copied = 0
        try:
            said = await keeper.status(clients.manager, cluster.node(label))
            copied, heard = int(said.get("copied", 0)), loop.time()
        except Transient:
            if loop.time() - heard > _SILENCE:
                raise Transient(f"{label} does not come up as a replica: its keeper is silent") from None
        note = f"{label}: {member.state if member else 'waiting for its first word'}"
        if progress is not None and (shown := f"{note} {copied}") != reported:
            await progress({"done": copied, "unit": "bytes", "note": note})
            reported = shown
        await asyncio.sleep(_POLL)


async def forget(clients: Pair, cluster: ClusterSpec, label: str) -> None:
    """Removes what etcd and the keepers remember of a member that is gone.

    A write that only it has acknowledged must be with another replica first, or nobody would ask for it any more.
    """
    staying = [node for node in cluster.nodes if node.label != label]
    etcd = await forget_etcd(clients.etcd, cluster, label)
    await _caught_up(clients, staying)
    await name_members(etcd, cluster, staying)
    await etcd.delete(f"{NAMESPACE}{cluster.short_id}/members/{label}")


async def _caught_up(clients: Pair, staying: list[NodeSpec]) -> None:
    """Returns when a replica has what the primary has now; at once where there is no replica to wait for."""
    wanted: int | None = None
    try:
        async with asyncio.timeout(_CAUGHT_UP):
            while True:
                said = await asyncio.gather(
                    *(keeper.status(clients.manager, node) for node in staying), return_exceptions=True
                )
                known = [one for one in said if isinstance(one, dict)]
                primary = next((one for one in known if one.get("writable")), None)
                if primary is not None:
                    wanted = primary["received"] if wanted is None else wanted
                    others = [one for one in known if one is not primary]
                    if len(staying) == 1 or any(one.get("received", 0) >= wanted for one in others):
                        return
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Transient("no replica has received yet what the primary has: the lost one can't be forgotten") from None
