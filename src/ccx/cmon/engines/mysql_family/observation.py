"""One look at a cluster: what its keepers say, and where its etcd members stand."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from ccx.cmon.engines.mysql_family import keeper
from ccx.cmon.engines.mysql_family.clients import Pair
from ccx.cmon.engines.mysql_family.view import to_view
from ccx.cmon.etcd.layout import client_url, etcd_members
from ccx.cmon.etcd.members import etcd_of
from ccx.cmon.spec import ClusterSpec, ClusterView

_FIRST = 2.0
_STRAGGLERS = 0.5
"""Seconds: for the first keeper to answer; and for the others once there is one."""

_ETCD = 1.0


async def observe(clients: Pair, cluster: ClusterSpec) -> ClusterView:
    """A request to each node's keeper and etcd, side by side. Never raises: silence is an observation, too."""
    etcd = etcd_of(clients.etcd, cluster)
    asked = {
        node.label: asyncio.ensure_future(etcd.standing(client_url(node), _ETCD))
        for node in etcd_members(cluster.nodes)
    }
    try:
        reports = await _reports(clients.keeper, cluster)
        standings = {label: await asking for label, asking in asked.items() if label in reports}
    finally:
        for asking in asked.values():
            asking.cancel()
    return to_view(cluster, reports, standings)


async def _reports(http: httpx.AsyncClient, cluster: ClusterSpec) -> dict[str, dict[str, Any]]:
    """By label, of the keepers that answered in time."""
    calls = {asyncio.ensure_future(keeper.status(http, node, _FIRST)): node.label for node in cluster.nodes}
    reports: dict[str, dict[str, Any]] = {}
    pending, clock = set(calls), asyncio.get_running_loop().time
    deadline = clock() + _FIRST + _STRAGGLERS
    try:
        while pending:
            done, pending = await asyncio.wait(pending, timeout=deadline - clock(), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            reports |= {calls[call]: call.result() for call in done if call.exception() is None}
            if reports:
                deadline = min(deadline, clock() + _STRAGGLERS)
    finally:
        for call in calls:
            call.cancel()
    return reports
