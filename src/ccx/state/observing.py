"""Reads what the kernels saw of connections: the control plane's own, and every node's; and renews stale rules."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.cmon import egress
from ccx.db import utc_now
from ccx.errors import CcxError, Transient
from ccx.network import observer
from ccx.network.plan import plan
from ccx.runner.services import Services
from ccx.runner.subject import node_spec
from ccx.state.endpoints import KERNEL
from ccx.stores import datastores, nodes, observed
from ccx.stores.models import Datastore, Node

EVERY = 60.0
"""Seconds between two readings that nobody asked for."""

_NODE_WITHIN = 3.0
_AT_ONCE = 16
_KERNEL_WITHIN = 5.0

log = structlog.get_logger()


@dataclass(frozen=True)
class Blind:
    """Who could not be read now: what is known of it is older."""

    source: str
    why: str


async def read(services: Services) -> list[Blind]:
    """Reads all kernels, and adds what they saw to the stores. One at a time, whoever asks."""
    async with observed.one_reader(services.sessions):
        async with services.sessions() as tx:
            found = await datastores.living(tx)
        present = [(datastore, node) for datastore in found for node in nodes.reachable(datastore)]
        few = asyncio.Semaphore(_AT_ONCE)
        at = utc_now()

        async def one(node: Node) -> Mapping[str, Any] | Blind:
            async with few:
                return await _node(services, node)

        told = await asyncio.gather(_control_plane(services), *(one(node) for _, node in present))
        sources = [observed.CONTROL_PLANE, *(str(node.id) for _, node in present)]
        hosts = {host for row in plan(services.settings).rows for host in row.hosts if row.group is None}
        blind = [reading for reading in told if isinstance(reading, Blind)]
        async with services.sessions.begin() as tx:
            for source, reading in zip(sources, told, strict=True):
                if not isinstance(reading, Blind) and (trouble := await _add(tx, source, reading, at, hosts)):
                    blind.append(trouble)
            await observed.prune(tx, at)
    digests = {
        # What lies there is of no use while the kernel has none of it.
        source: reading["rules"] if reading.get("allowed", "not told") else ""
        for source, reading in zip(sources, told, strict=True)
        if not isinstance(reading, Blind) and isinstance(reading.get("rules"), str)
    }
    await _renew(services, found, digests)
    return blind


async def _add(
    tx: AsyncSession, source: str, reading: Mapping[str, Any], at: datetime, hosts: set[str]
) -> Blind | None:
    try:
        seen = observer.parse(reading["tried"], reading["passed"])
        users = {str(uid): name for uid, name in reading["users"].items() if name.isprintable() and len(name) < 256}
        named = observer.named(reading.get("allowed", ""), hosts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Blind(source, f"what it told makes no sense: {error!r}")
    await observed.add(tx, source, seen, users, at, named)
    return None


async def _node(services: Services, node: Node) -> Mapping[str, Any] | Blind:
    try:
        return await services.channel.call(node_spec(node), "egress-observed", timeout=_NODE_WITHIN)
    except (Transient, CcxError) as error:
        return Blind(str(node.id), str(error))


async def _control_plane(services: Services) -> Mapping[str, Any] | Blind:
    try:
        async with KERNEL.client(services.settings, timeout=_KERNEL_WITHIN) as http:
            answer = await http.get("/")
        answer.raise_for_status()
        reading: Mapping[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return Blind(observed.CONTROL_PLANE, str(error) or type(error).__name__)
    return reading


async def _renew(services: Services, found: Sequence[Datastore], digests: Mapping[str, str]) -> None:
    """A node that was away when its peers changed, or whose rules are of other settings, gets those of now."""
    for datastore in found:
        known = [node for node in nodes.members(datastore) if str(node.id) in digests]
        stale = [node.label for node in known if digests[str(node.id)] != _wanted(services, datastore, node)]
        if not stale:
            continue
        async with services.sessions.begin() as tx:
            datastore = await datastores.get(tx, datastore.id)
            if datastore.is_gone or await jobs.active(tx, str(datastore.id)) is not None:
                continue
            log.info("egress rules are stale", datastore=datastore.short_id, nodes=stale)
            await jobs.enqueue(
                tx, "apply_egress", key=str(datastore.id), args={"datastore_id": str(datastore.id)},
                owner=(datastore.owner_type, datastore.owner_id), label="JOB_TYPE_APPLY_EGRESS", dedup=True,
            )  # fmt: skip


def _wanted(services: Services, datastore: Datastore, node: Node) -> str:
    """The digest of the rules that the node should have."""
    peers = [member.address for member in nodes.members(datastore) if member.id != node.id and member.address]
    return egress.digest(
        egress.rules(services.settings, datastore.vendor, datastore.version, peers, datastore.cluster_type)
    )
