"""Patroni's REST API."""

from __future__ import annotations

from typing import Any

import httpx

from ccx.cmon.engines.postgres.layout import patroni_url
from ccx.cmon.spec import NodeSpec
from ccx.errors import CcxError, Transient


class PatroniSilent(Transient):
    """Patroni on the node did not answer, or with something else than was asked for."""


async def cluster(http: httpx.AsyncClient, node: NodeSpec, limit: float = 2) -> dict[str, Any]:
    """What the node knows of the whole cluster."""
    try:
        answer = await http.get(f"{patroni_url(node)}/cluster", timeout=limit)
        found = answer.raise_for_status().json()
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise PatroniSilent(f"Patroni on {node.label} did not answer: {type(error).__name__}") from error
    if not isinstance(found, dict) or not isinstance(found.get("members"), list):
        raise PatroniSilent(f"Patroni on {node.label} answered with no cluster")
    return found


async def answers(http: httpx.AsyncClient, node: NodeSpec, limit: float) -> bool:
    """Whether Patroni on the node answers at all."""
    try:
        return (await http.get(f"{patroni_url(node)}/liveness", timeout=limit)).status_code == httpx.codes.OK
    except (httpx.HTTPError, OSError):
        return False


async def switchover(http: httpx.AsyncClient, leader: NodeSpec, to: NodeSpec) -> None:
    """Hands leadership over; returns when it is done."""
    try:
        answer = await http.post(
            f"{patroni_url(leader)}/switchover", json={"leader": leader.label, "candidate": to.label}, timeout=30
        )
    except (httpx.HTTPError, OSError) as error:
        raise PatroniSilent(f"{leader.label} did not answer the switchover: {type(error).__name__}") from error
    if answer.status_code != httpx.codes.OK:
        raise CcxError(
            f"{to.label} can't take over from {leader.label}: {answer.text.strip()[:300]}",
            remedy="Choose the synchronous replica",
            status=409,
        )


async def change(http: httpx.AsyncClient, node: NodeSpec, part: dict[str, Any]) -> None:
    """Merges ``part`` into the configuration that all members follow."""
    try:
        (await http.patch(f"{patroni_url(node)}/config", json=part, timeout=5)).raise_for_status()
    except (httpx.HTTPError, OSError) as error:
        raise PatroniSilent(f"Patroni on {node.label} did not take the change: {type(error).__name__}") from error
