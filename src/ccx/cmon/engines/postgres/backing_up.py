"""Backups on a cluster's nodes: which node makes one, how far it is, why it failed, how it is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ccx.cmon.backup import Backup, Kind, pgbackrest
from ccx.cmon.backup.on_nodes import LOOK_EVERY_S, WATCHED_S, ask, patiently
from ccx.cmon.backup.trouble import why
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.errors import CcxError

SEGMENT = 16 * 2**20
"""Bytes of a segment of the log."""


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
        seen = await patiently(ask(channel, node, "backup-state", watched, what, progress=note), progress, far)
        if seen["state"] != "running":
            break
        await note(seen)
        await asyncio.sleep(LOOK_EVERY_S)  # an agent of before does not watch
    made = None
    if seen["state"] == "done":
        if node != primary:
            noted = {**which, "backup": seen["backup"]}
            seen = await patiently(ask(channel, primary, "backup-note", noted, what, token=token), progress, far)
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
        await asyncio.sleep(LOOK_EVERY_S)  # an agent of before does not watch


def never_restored(said: str, label: str) -> CcxError:
    """Why a restore failed that is not tried again: its script has done that already."""
    blamed = why(said, "restore")
    err = f"the restore failed on {label}{blamed.err.removeprefix('could not restore')}"
    if "own words" in (blamed.remedy or ""):
        return CcxError(err, remedy="Restore to another time or backup; pgBackRest's own words tell what is wrong")
    return CcxError(err, remedy=(blamed.remedy or "").removesuffix("; the next backup is tried by itself"))
