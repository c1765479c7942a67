"""Who is a member of a datastore's etcd: joining, and being forgotten by it."""

from __future__ import annotations

import asyncio

import httpx

from ccx.cmon.etcd.client import Etcd, EtcdRefused, EtcdSilent
from ccx.cmon.etcd.files import etcd_environment
from ccx.cmon.etcd.layout import ETCD_UNIT, client_url, peer_url
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.errors import Transient

_POLL = 0.2


def etcd_of(http: httpx.AsyncClient, cluster: ClusterSpec, without: str | None = None) -> Etcd:
    """The cluster's etcd, by its members on all nodes but ``without``. Nodes that carry none just don't answer."""
    return Etcd(http, [client_url(node) for node in cluster.nodes if node.label != without])


async def join_etcd(
    http: httpx.AsyncClient, channel: NodeChannel, cluster: ClusterSpec, node: NodeSpec, token: int
) -> None:
    """Makes the node's etcd a voting member. A learner first: the majority changes only once it has caught up."""
    etcd = etcd_of(http, cluster, without=node.label)
    members = await etcd.members()
    if all(peer_url(node) not in member.peer_urls for member in members):
        await etcd.add_learner(peer_url(node))
        members = await etcd.members()
    own = next(member for member in members if peer_url(node) in member.peer_urls)
    initial = {node.label: peer_url(node)} | {m.name: m.peer_urls[0] for m in members if m.name and m.id != own.id}
    environment = etcd_environment(cluster, node, initial, joining=True)
    await channel.call(node, "write-files", {"files": [environment.to_json()]}, token=token)
    await channel.call(node, "services", {"enable": [ETCD_UNIT], "start": [ETCD_UNIT]}, token=token, timeout=120)
    if own.learner:
        await _promote(etcd, own.id)


async def _promote(etcd: Etcd, member_id: str, limit: float = 60) -> None:
    try:
        async with asyncio.timeout(limit):
            while True:
                try:
                    return await etcd.promote(member_id)
                except (EtcdRefused, EtcdSilent) as error:
                    if "can only promote a learner" in str(error):
                        return None
                    await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Transient(f"the new etcd member did not catch up in {limit:g} s") from None


async def forget_etcd(http: httpx.AsyncClient, cluster: ClusterSpec, label: str) -> Etcd:
    """Removes the member that was on a node which is gone; the etcd of the others.

    ``cluster`` need not name it any more; one that never started its etcd is found by its address alone, if it does.
    """
    urls = {peer_url(node) for node in cluster.nodes if node.label == label}
    etcd = etcd_of(http, cluster, without=label)
    for member in await etcd.members():
        if member.name == label or urls & set(member.peer_urls):
            await etcd.remove(member.id)
    return etcd
