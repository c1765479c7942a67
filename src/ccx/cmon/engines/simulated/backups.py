"""Backups of a database without data: entries in what its nodes share. They keep every promise but that.

An entry with the key ``damaged`` is as one whose objects the store lost: its value says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ccx.cmon.backup import ArchiveState, Backup, Findings, Kind
from ccx.cmon.node_channel import NodeChannel, NodeUnreachable, Progress
from ccx.cmon.primary import primary_of
from ccx.cmon.spec import ClusterSpec, ClusterView, NodeSpec
from ccx.db import utc_now

_BYTES = 1024


class SimulatedBackups:
    """The part of the simulated engine that backs up and hands over."""

    written_last = "backup.manifest"

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        raise NotImplementedError

    async def configure_backups(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await channel.call(cluster.node(label), "backup-ping", token=token)

    async def start_archiving(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await channel.call(await self._leader(cluster), "backup-ping", token=token)

    async def back_up(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, kind: Kind, token: int, progress: Progress
    ) -> Backup:
        there = await self.backups(channel, cluster)
        if (made := next((one for one in there if one.id == name), None)) is not None:
            return made
        parent = there[-1].id if there and kind is Kind.INCREMENTAL else None
        value = {"parent": parent, "kind": (kind if parent else Kind.FULL).value, "at": utc_now().isoformat()}
        await progress({"done": _BYTES, "total": _BYTES, "unit": "bytes"})
        args = {"kind": "backups", "name": name, "value": value}
        await channel.call(await self._leader(cluster), "backup-put", args, token=token)
        return _backup(name, value)

    async def end_backup(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        for node in cluster.nodes:
            try:
                await channel.call(node, "backup-ping", token=token)
            except NodeUnreachable:
                continue

    async def read_through(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, backup: str | None, token: int, progress: Progress
    ) -> Findings:
        leader = await self._leader(cluster)
        await channel.call(leader, "backup-ping", token=token)
        found = (await channel.call(leader, "list", {"kind": "backups"}))["objects"]
        checked = tuple(one for one in found if backup in (None, one))
        await progress({"done": _BYTES * len(checked), "total": _BYTES * len(checked), "unit": "bytes"})
        return Findings(checked, {one: found[one]["damaged"] for one in checked if "damaged" in found[one]})

    async def count(self, channel: NodeChannel, cluster: ClusterSpec, point: str, token: int) -> dict[str, Any]:
        await channel.call(await self._leader(cluster), "backup-ping", token=token)
        return {"point": point, "exact": True, "rows": {}}

    async def recount(self, channel: NodeChannel, cluster: ClusterSpec, tables: Sequence[str]) -> dict[str, int]:
        await channel.call(await self._leader(cluster), "ping")
        return {}

    async def backups(self, channel: NodeChannel, cluster: ClusterSpec) -> list[Backup]:
        found = await channel.call(await self._leader(cluster), "list", {"kind": "backups"})
        return sorted((_backup(name, value) for name, value in found["objects"].items()), key=lambda one: one.ended)

    async def expire(self, channel: NodeChannel, cluster: ClusterSpec, remove: Sequence[str], token: int) -> None:
        for name in remove:
            args = {"kind": "backups", "name": name}
            await channel.call(await self._leader(cluster), "backup-drop", args, token=token)

    async def archive_now(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await channel.call(await self._leader(cluster), "ping")

    async def archive_state(self, channel: NodeChannel, cluster: ClusterSpec) -> ArchiveState:
        return ArchiveState(0)

    async def follow_restore(self, channel: NodeChannel, cluster: ClusterSpec, progress: Progress) -> None:
        await self._leader(cluster)
        await progress({"done": _BYTES, "unit": "bytes", "note": "copying the backup"})

    async def forget_origin(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await channel.call(cluster.node(label), "ping", token=token)

    async def verify(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> dict[str, Any]:
        found = await channel.call(await self._leader(cluster), "list", {"kind": "databases"}, token=token)
        return {"databases": len(found["objects"]), "tables": 0}

    async def stop(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        for node in cluster.nodes:
            try:
                await channel.call(node, "stop", token=token)
            except NodeUnreachable:
                continue

    async def start_again(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await channel.call(cluster.node(label), "start", token=token)

    async def log_position(self, channel: NodeChannel, cluster: ClusterSpec) -> tuple[str, int]:
        await channel.call(await self._leader(cluster), "ping")
        return "0/1000000", 1000

    async def _leader(self, cluster: ClusterSpec) -> NodeSpec:
        return primary_of(cluster, await self.observe(cluster))


def _backup(name: str, value: dict[str, Any]) -> Backup:
    at = datetime.fromisoformat(value["at"])
    return Backup(name, value["parent"], Kind(value["kind"]), at, at, _BYTES, _BYTES, True)
