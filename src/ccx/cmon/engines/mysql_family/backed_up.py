"""Engines of the family that back up: what the jobs ask for, on the nodes. By which tool, nodes choose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from ccx.cmon.backup import ArchiveState, Backup, Findings, Kind, mariadb_backup, on_nodes
from ccx.cmon.engines.mysql_family import backing_up, handover
from ccx.cmon.engines.mysql_family.engine import FamilyEngine
from ccx.cmon.engines.mysql_family.layout import MANIFEST, Flavour
from ccx.cmon.engines.mysql_family.replication import ReplicationEngine
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec

_LOOK_EVERY = 0.5
"""Seconds between two looks at whether a restored cluster serves."""


class BackedUpEngine(FamilyEngine):
    """Implements of :mod:`ccx.cmon.backup` ``BacksUp``, ``Proves``, ``HandsOver`` and what tells places in the log."""

    written_last = MANIFEST
    flavour: ClassVar[Flavour]

    def _directories(self, cluster: ClusterSpec, label: str) -> list[dict[str, str]]:
        stored = cluster.backup is not None or cluster.origin is not None
        return super()._directories(cluster, label) + (mariadb_backup.DIRECTORIES if stored else [])

    def _backup_files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        """What of backups a new node gets with everything else."""
        return backing_up.files(self.flavour, cluster, label)

    async def _ship_from(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        """A node that has joined sends the log when its turn comes."""
        if cluster.backup is not None:
            units = {"enable": [mariadb_backup.SHIPPER], "start": [mariadb_backup.SHIPPER]}
            await channel.call(cluster.node(label), "services", units, token=token, timeout=60)

    async def configure_backups(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await backing_up.configure(self.flavour, channel, cluster, label, token)

    async def start_archiving(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await backing_up.ship(channel, cluster, await self._primary(cluster), token)

    async def back_up(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, kind: Kind, token: int, progress: Progress
    ) -> Backup:
        view = await self.observe(cluster)
        return await backing_up.back_up(self.flavour, channel, cluster, view, name, kind, token, progress)

    async def end_backup(self, channel: NodeChannel, cluster: ClusterSpec, name: str, token: int) -> None:
        await on_nodes.clear(channel, cluster, "mariadb-backup-clear", {"name": name}, token)

    async def backups(self, channel: NodeChannel, cluster: ClusterSpec) -> list[Backup]:
        return await backing_up.backups(channel, await self._primary(cluster))

    async def expire(self, channel: NodeChannel, cluster: ClusterSpec, remove: Sequence[str], token: int) -> None:
        await backing_up.expire(channel, await self._primary(cluster), remove, token)

    async def archive_now(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await backing_up.archive_now(channel, await self._primary(cluster), token)

    async def archive_state(self, channel: NodeChannel, cluster: ClusterSpec) -> ArchiveState:
        found = await channel.call(await self._primary(cluster), "mariadb-archive-state", timeout=5)
        return on_nodes.archive_state(found, found["waiting"])

    async def follow_restore(self, channel: NodeChannel, cluster: ClusterSpec, progress: Progress) -> None:
        watch = asyncio.create_task(backing_up.watch_restore(channel, mariadb_backup.first_of(cluster), progress))
        try:
            while (await self.observe(cluster)).primary is None:
                await asyncio.wait({watch}, timeout=_LOOK_EVERY)
                if watch.done():
                    watch.result()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def forget_origin(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        files = [file.to_json() for file in mariadb_backup.forgotten()]
        await channel.call(cluster.node(label), "write-files", {"files": files}, token=token)

    async def verify(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> dict[str, Any]:
        return await backing_up.verify(channel, self.verbs, await self._primary(cluster))

    async def read_through(
        self, channel: NodeChannel, cluster: ClusterSpec, name: str, backup: str | None, token: int, progress: Progress
    ) -> Findings:
        primary = await self._primary(cluster)
        return await backing_up.read_through(channel, cluster, primary, name, backup, token, progress)

    async def count(self, channel: NodeChannel, cluster: ClusterSpec, point: str, token: int) -> dict[str, Any]:
        counted = await backing_up.count(channel, self.verbs, await self._primary(cluster))
        await self.archive_now(channel, cluster, token)
        return counted

    async def recount(self, channel: NodeChannel, cluster: ClusterSpec, tables: Sequence[str]) -> dict[str, int]:
        return await backing_up.recount(channel, self.verbs, await self._primary(cluster), tables)

    async def log_position(self, channel: NodeChannel, cluster: ClusterSpec) -> tuple[str, int]:
        return await handover.log_position(channel, await self._primary(cluster))

    async def stop(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        await handover.stop(self.flavour, channel, cluster, await self.observe(cluster), token)

    async def start_again(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        await handover.start_again(channel, cluster, cluster.node(label), self._units(cluster, label), token)


class NumberedEngine(BackedUpEngine):
    """Whose transactions are called by their numbers: implements ``NumbersTransactions``."""

    async def transaction_at(self, channel: NodeChannel, cluster: ClusterSpec, number: int) -> str | None:
        return await handover.transaction_at(channel, await self._primary(cluster), number)


class BackedUpReplicas(BackedUpEngine, ReplicationEngine):
    """A primary and replicas. ``_files`` of whoever inherits ends with :meth:`_backup_files`."""

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        await super().join(channel, cluster, label, token, progress)
        await self._ship_from(channel, cluster, label, token)
