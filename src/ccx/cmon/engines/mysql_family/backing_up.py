"""Backups on a cluster's nodes: which node makes one, how far it is, why it failed, how it is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog

from ccx.cmon.backup import Backup, Findings, Kind, mariadb_backup
from ccx.cmon.backup.on_nodes import LOOK_EVERY_S, WATCHED_S, ask, begun, clear, patiently
from ccx.cmon.backup.trouble import StoreTrouble, why
from ccx.cmon.engines.mysql_family.layout import Flavour
from ccx.cmon.engines.mysql_family.view import LAG_BOUND
from ccx.cmon.node_channel import NodeChannel, NodeUnreachable, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.primary import primary_of
from ccx.cmon.spec import ClusterSpec, ClusterView, NodeSpec
from ccx.errors import CcxError

COUNTED_WITHIN_S = 10
_CHECKED_WITHIN_S = 6 * 3600

log = structlog.get_logger()


async def configure(flavour: Flavour, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
    """The node's way to the store, and nothing else that is on it."""
    assert cluster.backup is not None
    files = mariadb_backup.node_files(flavour, cluster, label, cluster.backup)
    args = {"directories": mariadb_backup.DIRECTORIES, "files": [file.to_json() for file in files]}
    await channel.call(cluster.node(label), "mariadb-backup-configure", args, token=token, timeout=60)


def files(flavour: Flavour, cluster: ClusterSpec, label: str) -> list[NodeFile]:
    """What of backups a new node gets with everything else."""
    found: list[NodeFile] = []
    if cluster.backup is not None:
        found += mariadb_backup.node_files(flavour, cluster, label, cluster.backup)
    if cluster.origin is not None:
        found += mariadb_backup.restore_files(flavour, cluster, cluster.node(label), cluster.origin)
    return found


async def ship(channel: NodeChannel, cluster: ClusterSpec, primary: NodeSpec, token: int) -> None:
    """All nodes send their log when they lead; returns when the primary's has begun to arrive.

    One that is away begins when it is asked the next time.
    """

    async def one(node: NodeSpec) -> None:
        args = {"leads": node == primary, "limit": 120}
        try:
            await ask(channel, node, "mariadb-ship", args, "archive the log", token=token, timeout=180)
        except NodeUnreachable as error:
            if node == primary:
                raise
            log.warning("a node does not send its log yet", node=node.label, reason=str(error))

    await asyncio.gather(*(one(node) for node in cluster.nodes))


def choose(view: ClusterView, kind: Kind, newest: Backup | None, *, spared: bool = False) -> list[str]:
    """Labels of the nodes on which to make it, the best first.

    A full one on a replica that keeps up; an incremental one where the one before was made, whose pages it compares.
    ``spared``: the primary makes none while a replica can.
    """
    assert view.primary is not None
    replicas = [
        member
        for member in view.replicas
        if member.healthy
        and member.label not in view.unreachable
        and member.lag_bytes is not None
        and member.lag_bytes <= LAG_BOUND
    ]
    order = [
        *(m.label for m in sorted(replicas, key=lambda m: (m.lag_bytes or 0, m.label))), view.primary.label
    ]  # fmt: skip
    able = order[:-1] if spared and replicas else order
    if kind is Kind.INCREMENTAL and newest is not None and newest.node in able:
        order.remove(newest.node)
        order.insert(0, newest.node)
    return order


async def back_up(
    flavour: Flavour,
    channel: NodeChannel,
    cluster: ClusterSpec,
    view: ClusterView,
    name: str,
    kind: Kind,
    token: int,
    progress: Progress,
) -> Backup:
    """The whole of it: whoever makes one later has no half a backup to go on with."""
    what, primary = "back up", primary_of(cluster, view)
    node = await begun(channel, cluster, name)
    if node is None:
        newest = (await backups(channel, primary))[-1:] if kind is Kind.INCREMENTAL else []
        # A copy holds a member's commits for a moment: its group must not be what waits for that.
        node = cluster.node(choose(view, kind, newest[0] if newest else None, spared=flavour.group)[0])
        await configure(flavour, channel, cluster, node.label, token)
        await ask(channel, node, "mariadb-backup-start", {"name": name, "kind": kind.value}, what, token=token)
    far: dict[str, Any] = {"done": 0, "total": None, "unit": "bytes", "note": f"beginning on {node.label}"}

    async def note(seen: dict[str, Any]) -> None:
        far.update({"done": seen["done"], "total": seen["total"], "note": f"copying on {node.label}"})

    watched = {"name": name, "watch": WATCHED_S}
    while True:
        seen = await patiently(
            ask(channel, node, "mariadb-backup-state", watched, what, progress=note), progress, far
        )  # fmt: skip
        if seen["state"] != "running":
            break
        await note(seen)
    made = mariadb_backup.backup_of(seen["backup"]) if seen["state"] == "done" else None
    healed = made.started.isoformat() if made is not None and made.kind is Kind.FULL else ""
    for one in cluster.nodes if healed else (node,):
        try:
            await channel.call(one, "mariadb-backup-clear", {"name": name, "healed": healed}, token=token)
        except NodeUnreachable:
            if one == node:
                raise
    if made is None:
        raise why(seen["err"], f"{what} on {node.label}")
    return made


async def backups(channel: NodeChannel, primary: NodeSpec) -> list[Backup]:
    """All that are complete in the store, oldest first."""
    found = await ask(channel, primary, "mariadb-backups", {}, "list the backups")
    return [mariadb_backup.backup_of(one) for one in found["backups"]]


async def expire(channel: NodeChannel, primary: NodeSpec, remove: Sequence[str], token: int) -> None:
    args = {"remove": list(remove)}
    await ask(channel, primary, "mariadb-backup-expire", args, "remove old backups", token=token, timeout=570)


async def archive_now(channel: NodeChannel, primary: NodeSpec, token: int) -> None:
    asked = await channel.call(primary, "mariadb-archive-mark", token=token)
    args = {"wanted": asked["wanted"], "limit": 60}
    await channel.call(primary, "mariadb-archive-marked", args, timeout=90)


async def watch_restore(channel: NodeChannel, node: NodeSpec, progress: Progress) -> None:
    """Tells how far the node's restore is, for as long as the caller likes. Raises CcxError when it has failed."""

    async def tell(seen: dict[str, Any]) -> None:
        if seen["state"] == "restoring":
            await progress({"done": seen["done"], "unit": "bytes", "note": seen["note"]})

    while True:
        args = {"watch": WATCHED_S}
        seen = await channel.call(node, "mariadb-restore-state", args, timeout=WATCHED_S + 30, progress=tell)
        if seen["state"] == "failed":
            raise CcxError(
                f"the restore failed on {node.label}: {seen['err']}",
                remedy="Restore to another time or backup, or see that the object store answers, and try again",
            )
        await tell(seen)
        await asyncio.sleep(LOOK_EVERY_S)


async def read_through(
    channel: NodeChannel, cluster: ClusterSpec, primary: NodeSpec, name: str, backup: str | None, token: int,
    progress: Progress,
) -> Findings:  # fmt: skip
    """One that an earlier call of that name began there is gone on with."""
    what, which = "read the backups", {"name": name}
    args = {**which, **({"set": backup} if backup else {})}
    await ask(channel, primary, "mariadb-verify-start", args, what, token=token, timeout=60)

    async def tell(seen: dict[str, Any]) -> None:
        await progress({"done": seen.get("done", 0), "total": seen.get("total"), "unit": "bytes"})

    watched = {**which, "watch": WATCHED_S}
    while (
        seen := await ask(channel, primary, "mariadb-verify-state", watched, what, progress=tell)
    )["state"] == "running":  # fmt: skip
        await tell(seen)
    await clear(channel, cluster, "mariadb-verify-clear", which, token)
    if seen["state"] != "done":
        raise StoreTrouble(f"verification failed on {primary.label}: {seen['err']}", remedy="Try again")
    return mariadb_backup.findings(seen["found"])


async def count(channel: NodeChannel, verbs: str, primary: NodeSpec) -> dict[str, Any]:
    """Rows, and the transaction as of which they are."""
    args = {"seconds": COUNTED_WITHIN_S}
    return await channel.call(primary, f"{verbs}-count", args, timeout=COUNTED_WITHIN_S + 60)


async def recount(channel: NodeChannel, verbs: str, primary: NodeSpec, tables: Sequence[str]) -> dict[str, int]:
    told = await channel.call(primary, f"{verbs}-recount", {"tables": list(tables)}, timeout=_CHECKED_WITHIN_S)
    rows: dict[str, int] = told["rows"]
    return rows


async def verify(channel: NodeChannel, verbs: str, primary: NodeSpec) -> dict[str, Any]:
    return await channel.call(primary, f"{verbs}-verify", timeout=_CHECKED_WITHIN_S)
