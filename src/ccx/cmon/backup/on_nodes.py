"""What engines that back up do alike on their nodes, whatever the tool: ask with causes, wait patiently, clear away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import structlog

from ccx.cmon.backup.base import ArchiveState
from ccx.cmon.backup.trouble import why
from ccx.cmon.node_channel import NodeChannel, NodeRefused, NodeUnreachable, Progress
from ccx.cmon.spec import ClusterSpec, NodeSpec

WATCHED_S = 30
"""For so long a node watches work of its own before it is asked again."""
LOOK_EVERY_S = 1.0
_CLEARED_WITHIN_S = 20.0

log = structlog.get_logger()


async def ask(
    channel: NodeChannel,
    node: NodeSpec,
    verb: str,
    args: dict[str, Any],
    what: str,
    *,
    token: int | None = None,
    timeout: float = 150,  # noqa: ASYNC109 - the limit travels to the node as well
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Has the node do something with the store. Raises StoreTrouble (it may pass) or StoreRefusal, with the cause."""
    try:
        return await channel.call(node, verb, args, token=token, timeout=timeout, progress=progress)
    except NodeRefused as refused:
        if "token" in refused.err:
            raise
        raise why(refused.err, f"{what} on {node.label}") from refused


async def patiently(
    call: Coroutine[Any, Any, dict[str, Any]], progress: Progress, far: dict[str, Any]
) -> dict[str, Any]:
    """The call's result; as long as it takes, the caller hears each second how far it is, and may end it."""
    running = asyncio.create_task(call)
    try:
        while not (await asyncio.wait({running}, timeout=LOOK_EVERY_S))[0]:
            await progress(far)
        return await running
    finally:
        running.cancel()


async def begun(channel: NodeChannel, cluster: ClusterSpec, name: str) -> NodeSpec | None:
    """The node on which an earlier call began the backup of that name, if one says so. Of one node: nobody is asked."""
    if len(cluster.nodes) == 1:
        return None  # there it is found when it is begun again

    async def has(node: NodeSpec) -> bool:
        try:
            told = await channel.call(node, "task-check", {"name": f"backup-{name}"}, timeout=10)
        except NodeUnreachable:
            return False
        return bool(told["state"] != "absent")

    found = await asyncio.gather(*(has(node) for node in cluster.nodes))
    return next((node for node, there in zip(cluster.nodes, found, strict=True) if there), None)


async def clear(channel: NodeChannel, cluster: ClusterSpec, verb: str, args: dict[str, Any], token: int) -> None:
    """Ends and forgets work, whichever node does it. One that is away does none that could be completed."""

    async def one(node: NodeSpec) -> None:
        try:
            await channel.call(node, verb, args, token=token, timeout=_CLEARED_WITHIN_S)
        except NodeUnreachable as error:
            log.info("a node was not told to end its work", node=node.label, verb=verb, reason=str(error))

    await asyncio.gather(*(one(node) for node in cluster.nodes))


def archive_state(found: dict[str, Any], waiting: int) -> ArchiveState:
    """From what an agent answers; ``waiting``: bytes."""
    newest, since = found.get("newest"), found.get("given_up_since")
    # An agent of before does not tell it. What it noted goes with a full backup: the first that is left is behind that.
    last = found.get("given_up_last") or since
    return ArchiveState(
        waits=float(found["oldest"]),
        newest=datetime.fromtimestamp(newest, UTC) if newest else None,
        waiting=waiting,
        volume=found["volume"],
        free=found["free"],
        given_up=found["given_up"],
        given_up_since=datetime.fromisoformat(since) if since else None,
        given_up_last=datetime.fromisoformat(last) if last else None,
    )
