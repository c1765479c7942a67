"""The keepers' HTTPS."""

from __future__ import annotations

from typing import Any

import httpx

from ccx.cmon.engines.mysql_family.layout import keeper_url
from ccx.cmon.spec import NodeSpec
from ccx.errors import CcxError, Transient


class KeeperSilent(Transient):
    """The keeper on the node did not answer, or with something else than was asked for."""


async def status(http: httpx.AsyncClient, node: NodeSpec, limit: float = 2) -> dict[str, Any]:
    """What the keeper sees of its server and of who leads."""
    try:
        answer = await http.get(f"{keeper_url(node)}/status", timeout=limit)
        found = answer.raise_for_status().json()
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise KeeperSilent(f"the keeper on {node.label} did not answer: {type(error).__name__}") from error
    if not isinstance(found, dict) or found.get("label") != node.label:
        raise KeeperSilent(f"the keeper on {node.label} answered with no status")
    return found


async def answers(http: httpx.AsyncClient, node: NodeSpec, limit: float) -> bool:
    """Whether the keeper on the node answers at all, and turns."""
    try:
        return (await http.get(f"{keeper_url(node)}/liveness", timeout=limit)).status_code == httpx.codes.OK
    except (httpx.HTTPError, OSError):
        return False


async def leader(http: httpx.AsyncClient, node: NodeSpec, limit: float) -> str | None:
    """Who leads, by that node's word; None when it says nothing, or belongs to no group that could know."""
    try:
        said = await status(http, node, limit)
    except Transient:
        return None
    return said.get("leader") if said.get("serves", True) else None


async def hand_over(http: httpx.AsyncClient, leader: NodeSpec, to: NodeSpec) -> None:
    """Has the leader stop accepting writes and let ``to`` lead; returns when it has let go."""
    try:
        answer = await http.post(f"{keeper_url(leader)}/hand-over", json={"to": to.label}, timeout=30)
    except (httpx.HTTPError, OSError) as error:
        raise KeeperSilent(f"{leader.label} did not answer the switchover: {type(error).__name__}") from error
    if answer.status_code != httpx.codes.OK:
        raise CcxError(
            f"{to.label} can't take over from {leader.label}: {answer.text.strip()[:300]}",
            remedy="Choose a replica that follows",
            status=409,
        )
