"""Galera, of any vendor: its members are their own consensus, and a keeper on each sees that one accepts writes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import ClassVar

import httpx

from ccx.cmon import egress
from ccx.cmon.engines.base import Port, Remains
from ccx.cmon.engines.mysql_family import keeper
from ccx.cmon.engines.mysql_family.engine import FamilyEngine
from ccx.cmon.engines.mysql_family.galera import config, deciding, membership
from ccx.cmon.engines.mysql_family.galera.layout import BOOTSTRAP_FILE, GROUP, IST
from ccx.cmon.engines.mysql_family.galera.view import to_view
from ccx.cmon.engines.mysql_family.layout import KEEPER, KEEPER_UNIT, Flavour
from ccx.cmon.manager import renewal
from ccx.cmon.manager.clients import Kept
from ccx.cmon.manager.look import Report, reports_of
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, ClusterView
from ccx.errors import Invalid, Transient
from ccx.network import Endpoint
from ccx.settings import Settings

_BEGINS_WITHIN_S = 15.0
"""What a server takes to begin a group; clients of the API give up after 30 seconds."""
GROUP_PORTS = (
    Port(GROUP, "the group", peers=True),
    Port(IST, "what a member missed", peers=True),
)


class GaleraEngine(FamilyEngine):
    """Keeps connections; one per process is enough."""

    topologies = ("galera",)
    seen_by = (KEEPER, GROUP)
    flavour: ClassVar[Flavour]
    row: ClassVar[Endpoint]
    """Of the contract: to keepers."""
    left: ClassVar[str] = "a backup is what is left"
    """Of a group of one whose node is lost."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._clients = Kept(settings, self.row)

    def promise(self, size: int) -> str:
        promises = {
            1: f"1: no high availability, a group of its own; if the node is lost, {self.left}",
            3: "3: highly available; every member has every write, survives 1 lost at once",
            5: "5: highly available; every member has every write, survives 2 lost at once",
        }
        if size in promises:
            return promises[size]
        why = (
            "when one of two is lost, the other can't tell whether it is cut off, and stops too"
            if size == 2
            else "an even count survives no more losses than one node fewer, and halves stop each other"
            if size % 2 == 0
            else "every write goes to all of them"
        )
        raise Invalid(
            f"Galera can't have {size} nodes: {why}",
            field="general.cluster_size",
            remedy="Choose 1 (no high availability), 3 or 5 (highly available)",
        )

    def _keepers(self, cluster: ClusterSpec) -> httpx.AsyncClient:
        return self._clients.of(cluster)

    def _units(self, cluster: ClusterSpec, label: str) -> list[str]:
        return [self.flavour.unit, KEEPER_UNIT]

    def _tls_files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.tls_files(cluster, label)

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        return await renewal.shown(self._settings, (self.row, KEEPER), None, cluster, label)

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        # Those who stay must be able to reach it before it is to take part.
        await egress.tell(channel, self._settings, cluster, token, without=label)
        await membership.join(self.flavour, self._clients.of(cluster), channel, cluster, label, token, progress)

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        # The group has done so by itself; its members shall not look for it when they start.
        staying = [node.label for node in cluster.nodes if node.label != label]
        await membership.tell(self.flavour, channel, cluster, staying, token)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        return to_view(cluster, await self._reports(cluster))

    async def remains(self, cluster: ClusterSpec) -> tuple[Remains, ...]:
        # There is no way back from what is decided by this: who has the most may be the slowest to say so.
        return deciding.remains(cluster, await self._reports(cluster, patiently=True))

    async def bootstrap(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        found = await self.remains(cluster)
        deciding.check(found, label)
        args = {"file": str(BOOTSTRAP_FILE), "unit": self.flavour.unit}
        await channel.call(cluster.node(label), "galera-bootstrap", args, token=token, timeout=60)
        # As long as it does not serve, a second decision could be for another node: two groups would begin.
        with suppress(TimeoutError, Transient):
            async with asyncio.timeout(_BEGINS_WITHIN_S):
                await membership.until_serving(self._clients.of(cluster), cluster, label, None)
        history = next(one.history for one in found if one.label == label)
        deciding.check_begun(await self._reports(cluster), label, history)

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        """The others need no word of ours: they give it up by themselves, and one of them takes its place."""
        reports = await self._reports(cluster)
        if not any(label != dead for label in reports):
            raise Transient(f"no member but {dead} answers")
        return any(report.get("leader") == dead for report in reports.values())

    async def reads_are_current(self, cluster: ClusterSpec) -> bool:
        said = [report for report in (await self._reports(cluster)).values() if report.get("serves")]
        if not said:
            raise Transient("no member of a group that serves answers")
        return bool(max(said, key=lambda report: report.get("term", 0)).get("current_reads"))

    async def set_reads(self, channel: NodeChannel, cluster: ClusterSpec, current: bool, token: int) -> None:
        primary = await self._primary(cluster)
        args = {"current": current, "speech": self.flavour.speech}
        await channel.call(primary, "galera-reads", args, token=token, timeout=30)

    async def _reports(self, cluster: ClusterSpec, *, patiently: bool = False) -> dict[str, Report]:
        return await reports_of(cluster, partial(keeper.status, self._clients.of(cluster)), patiently=patiently)

    async def close(self) -> None:
        """Ends the connections that are kept."""
        await self._clients.close()
