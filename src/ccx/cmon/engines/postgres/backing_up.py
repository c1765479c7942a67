"""Backups on a cluster's nodes: which node makes one, how far it is, why it failed, how it is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from ccx.cmon.backup import ArchiveState, Backup, Kind, pgbackrest
from ccx.cmon.backup.trouble import why
from ccx.cmon.node_channel import NodeChannel, NodeRefused, NodeUnreachable, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.errors import CcxError

SEGMENT = 16 * 2**20
"""Bytes of a segment of the log."""

WATCHED_S = 30
"""For so long a node watches a backup or restore of its own before it is asked again."""
_LOOK_EVERY_S = 1.0
_ENDED_WITHIN_S = 20.0

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
    """Has pgBackRest do something on the node. Raises StoreTrouble (which may pass) or StoreRefusal, with the cause."""
    try:
        return await channel.call(node, verb, args, token=token, timeout=timeout, progress=progress)
    except NodeRefused as refused:
        if "token" in refused.err:
            raise
        raise why(refused.err, f"{what} on {node.label}") from refused


async def configure(channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
    """The node's way to the store, and nothing else that is on it."""
    assert cluster.backup is not None
    await put(channel, cluster.node(label), pgbackrest.node_files(cluster, cluster.backup), token)


async def put(channel: NodeChannel, node: NodeSpec, files: Sequence[NodeFile], token: int) -> None:
    """Writes files of pgBackRest's own."""
    args = {"directories": pgbackrest.DIRECTORIES, "files": [file.to_json() for file in files]}
    await channel.call(node, "backup-configure", args, token=token, timeout=60)


async def back_up(
    channel: NodeChannel,
    cluster: ClusterSpec,
    node: NodeSpec,
    primary: NodeSpec,
    name: str,
    kind: Kind,
    token: int,
    progress: Progress,
) -> Backup:
    """The whole of it on one node: whoever makes one later has no half a backup to go on with."""
    which, what = {"stanza": cluster.archive_name, "name": name}, "back up"
    there = {**which, "standby": node != primary}
    start = {**there, "kind": kind.value, "node": node.label}
    await ask(channel, node, "backup-start", start, what, token=token)
    far: dict[str, Any] = {"done": 0, "total": None, "unit": "bytes", "note": "waiting for the object store"}
    # What the store has in the end is asked of the store, which may be away: the job is told of meanwhile, and ends it.

    async def note(seen: dict[str, Any]) -> None:
        if seen["total"] is None and far["total"] is not None:
            return  # its notes go before it ends
        note = "copying" if seen["done"] else "waiting for a checkpoint, or reading what there is"
        far.update({"done": seen["done"], "total": seen["total"], "note": f"{note} on {node.label}"})

    while True:
        watched = {**there, "watch": WATCHED_S}
        seen = await _patiently(ask(channel, node, "backup-state", watched, what, progress=note), progress, far)
        if seen["state"] != "running":
            break
        await note(seen)
        await asyncio.sleep(_LOOK_EVERY_S)  # an agent of before does not watch
    made = None
    if seen["state"] == "done":
        if node != primary:
            noted = {**which, "backup": seen["backup"]}
            seen = await _patiently(ask(channel, primary, "backup-note", noted, what, token=token), progress, far)
        made = pgbackrest.backup_of(seen["backup"])
        all_of_it = far["total"] or made.size
        await progress({**far, "done": all_of_it, "total": all_of_it})
    # From a full one on, nobody needs the log of before it: what was given up of that is no more to be regretted.
    healed = made.log[0] if made and made.log and made.kind is Kind.FULL else ""
    for one in {node.label: node, primary.label: primary}.values():
        await channel.call(one, "backup-clear", {**which, "healed": healed}, token=token)
    if made is None:
        raise why(seen["err"], f"{what} on {node.label}")
    return made


async def watch_restore(channel: NodeChannel, node: NodeSpec, progress: Progress) -> None:
    """Tells how far the node's restore is, for as long as the caller likes. Raises CcxError when it has failed."""

    async def tell(seen: dict[str, Any]) -> None:
        if seen["state"] not in ("absent", "failed"):
            await progress(seen)

    while True:
        seen = await channel.call(node, "restore-state", {"watch": WATCHED_S}, timeout=WATCHED_S + 30, progress=tell)
        if seen["state"] == "failed":
            raise never_restored(seen["err"], node.label)
        await tell(seen)
        await asyncio.sleep(_LOOK_EVERY_S)  # an agent of before does not watch


def never_restored(said: str, label: str) -> CcxError:
    """Why a restore failed that is not tried again: its script has done that already."""
    blamed = why(said, "restore")
    err = f"the restore failed on {label}{blamed.err.removeprefix('could not restore')}"
    if "own words" in (blamed.remedy or ""):
        return CcxError(err, remedy="Restore to another time or backup; pgBackRest's own words tell what is wrong")
    return CcxError(err, remedy=(blamed.remedy or "").removesuffix("; the next backup is tried by itself"))


async def _patiently(
    call: Coroutine[Any, Any, dict[str, Any]], progress: Progress, far: dict[str, Any]
) -> dict[str, Any]:
    """The call's result; as long as it takes, the caller hears each second that nothing moves, and may end it."""
    task = asyncio.create_task(call)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_EVERY_S))[0]:
            await progress(far)
        return await task
    finally:
        task.cancel()


def archive_state(found: dict[str, Any]) -> ArchiveState:
    """From what ``archive-state`` answers."""
    newest, since = found.get("newest"), found.get("given_up_since")
    return ArchiveState(
        waits=float(found["oldest"]),
        newest=datetime.fromtimestamp(newest, UTC) if newest else None,
        waiting=found["waiting"] * SEGMENT,
        volume=found["volume"],
        free=found["free"],
        given_up=found["given_up"],
        given_up_since=datetime.fromisoformat(since) if since else None,
    )


async def end(channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
    """Ends the backup of that name, whichever node makes it. One that is away makes none that could be completed."""

    async def one(node: NodeSpec) -> None:
        try:
            await channel.call(node, "backup-clear", {"name": name}, token=token, timeout=_ENDED_WITHIN_S)
        except NodeUnreachable as error:
            log.info("a node was not told to end its backup", node=node.label, reason=str(error))

    await asyncio.gather(*(one(node) for node in cluster.nodes))
