"""Whether backups are good: the store read through by pgBackRest, and rows counted before and after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from ccx.cmon.backup import Findings
from ccx.cmon.backup.on_nodes import LOOK_EVERY_S, WATCHED_S, clear
from ccx.cmon.backup.verified import findings
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.errors import Transient

COUNTED_WITHIN_S = 10
_RECOUNTED_WITHIN_S = 6 * 3600


async def read_through(
    channel: NodeChannel, cluster: ClusterSpec, node: NodeSpec, name: str, backup: str | None, token: int,
    progress: Progress,
) -> Findings:  # fmt: skip
    """On that node. One that an earlier call of that name began there is gone on with."""
    which = {"stanza": cluster.archive_name, "name": name}
    await channel.call(
        node, "backup-verify-start", {**which, **({"set": backup} if backup else {})}, token=token, timeout=60
    )
    began = time.monotonic()

    async def tell(_: dict[str, Any]) -> None:
        await progress({"done": time.monotonic() - began, "total": None, "unit": "seconds"})

    watched = {**which, "watch": WATCHED_S}
    while (
        seen := await channel.call(node, "backup-verify-state", watched, timeout=WATCHED_S + 30, progress=tell)
    )["state"] == "running":  # fmt: skip
        await tell(seen)
        await asyncio.sleep(LOOK_EVERY_S)  # an agent of before does not watch
    await clear(channel, cluster, "backup-verify-clear", which, token)
    if seen["state"] != "done":
        raise Transient(f"verification failed on {node.label}: {seen['err']}")
    return findings(seen["lines"])


async def count(channel: NodeChannel, node: NodeSpec, point: str, token: int) -> dict[str, Any]:
    """On the primary; then the log up to the point goes to the store."""
    args = {"point": point, "seconds": COUNTED_WITHIN_S}
    return await channel.call(node, "postgres-count", args, token=token, timeout=COUNTED_WITHIN_S + 60)


async def recount(channel: NodeChannel, node: NodeSpec, tables: Sequence[str]) -> dict[str, int]:
    told = await channel.call(node, "postgres-recount", {"tables": list(tables)}, timeout=_RECOUNTED_WITHIN_S)
    rows: dict[str, int] = told["rows"]
    return rows
