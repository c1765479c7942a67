"""One look at a cluster: what its failover managers say, and where its etcd members stand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ccx.cmon.etcd.client import Standing
from ccx.cmon.etcd.layout import client_url, etcd_members
from ccx.cmon.etcd.members import etcd_of
from ccx.cmon.manager.clients import Pair
from ccx.cmon.spec import ClusterSpec, NodeSpec

_FIRST = 2.0
_STRAGGLERS = 0.5
"""Seconds: for the first manager to answer; and for the others once there is one."""

_ALL = 5.0
"""Seconds for every manager, where something is decided for good by what they say."""

_ETCD = 1.0
"""Seconds for an etcd member. It is asked beside the manager, and waited for only where that answers."""

Report = dict[str, Any]
Ask = Callable[[NodeSpec, float], Awaitable[Report]]
"""Asks the manager on a node, within so many seconds. Raises when it is silent."""


async def look(clients: Pair, cluster: ClusterSpec, ask: Ask) -> tuple[dict[str, Report], dict[str, Standing | None]]:
    """What the managers that answered in time report, and where these nodes' etcd members stand; both by label.

    All are asked side by side. Never raises: silence is an observation, too.
    """
    etcd = etcd_of(clients.etcd, cluster)
    asked = {
        node.label: asyncio.ensure_future(etcd.standing(client_url(node), _ETCD))
        for node in etcd_members(cluster.nodes)
    }
    try:
        reports = await reports_of(cluster, ask)
        return reports, {label: await asking for label, asking in asked.items() if label in reports}
    finally:
        for asking in asked.values():
            asking.cancel()


async def reports_of(cluster: ClusterSpec, ask: Ask, *, patiently: bool = False) -> dict[str, Report]:
    """What the managers that answered in time report, by label. ``patiently``: a slow one counts as much as a quick."""
    within = _ALL if patiently else _FIRST
    calls = {asyncio.ensure_future(ask(node, within)): node.label for node in cluster.nodes}
    reports: dict[str, Report] = {}
    pending, clock = set(calls), asyncio.get_running_loop().time
    deadline = clock() + within + _STRAGGLERS
    try:
        while pending:
            done, pending = await asyncio.wait(pending, timeout=deadline - clock(), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            reports |= {calls[call]: call.result() for call in done if call.exception() is None}
            if reports and not patiently:
                deadline = min(deadline, clock() + _STRAGGLERS)
    finally:
        for call in calls:
            call.cancel()
    return reports
