"""Joining a group that serves, and being forgotten by it: its members are told where the others are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import httpx

from ccx.cmon.engines.mysql_family import keeper
from ccx.cmon.engines.mysql_family.galera import config
from ccx.cmon.engines.mysql_family.layout import KEEPER_UNIT, Flavour
from ccx.cmon.node_channel import NodeChannel, NodeUnreachable, Progress
from ccx.cmon.spec import ClusterSpec
from ccx.errors import Transient

_POLL = 0.25
_SILENCE = 120.0
"""Seconds without any word of the new member after which joining is given up for this time."""


async def join(
    flavour: Flavour, http: httpx.AsyncClient, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int,
    progress: Progress | None,
) -> None:  # fmt: skip
    """Adds a configured node to the group; returns when it serves."""
    node = cluster.node(label)
    await tell(flavour, channel, cluster, [n.label for n in cluster.nodes if n.label != label], token)
    told = config.keeper_file(flavour, cluster, node, joining=True)
    await channel.call(node, "write-files", {"files": [told.to_json()]}, token=token)
    units = [flavour.unit, KEEPER_UNIT]
    await channel.call(node, "services", {"enable": units, "start": units, "wait": False}, token=token, timeout=60)
    await until_serving(http, cluster, label, progress)


async def tell(flavour: Flavour, channel: NodeChannel, cluster: ClusterSpec, labels: Iterable[str], token: int) -> None:
    """Has these nodes' keepers know who the members are. One that is away learns of it when it is repaired."""

    async def one(label: str) -> None:
        file = config.keeper_file(flavour, cluster, cluster.node(label), joining=True)
        calls = [
            {"verb": "write-files", "args": {"files": [file.to_json()]}},
            {"verb": "services", "args": {"reload": [KEEPER_UNIT]}},
        ]
        try:
            await channel.call(cluster.node(label), "sequence", {"calls": calls}, token=token, timeout=60)
        except NodeUnreachable:
            return

    await asyncio.gather(*map(one, labels))


async def until_serving(
    http: httpx.AsyncClient, cluster: ClusterSpec, label: str, progress: Progress | None
) -> None:  # fmt: skip
    """Returns when that member belongs to a group with the majority. Raises Transient when its keeper stays silent."""
    loop = asyncio.get_running_loop()
    heard, reported = loop.time(), ""
    while True:
        try:
            said = await keeper.status(http, cluster.node(label))
            heard = loop.time()
            if said.get("serves"):
                return
            copied, note = int(said.get("copied", 0)), f"{label}: {said.get('state') or said.get('note', '')}"
            if progress is not None and (shown := f"{note} {copied}") != reported:
                await progress({"done": copied, "unit": "bytes", "note": note})
                reported = shown
        except Transient:
            if loop.time() - heard > _SILENCE:
                raise Transient(f"{label} does not come up as a member: its keeper is silent") from None
        await asyncio.sleep(_POLL)
