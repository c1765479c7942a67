"""MariaDB with Galera: its members are their own consensus, and a keeper on each sees that one accepts writes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import httpx

from ccx.cmon import egress
from ccx.cmon.engines.base import Port, Proof, Remains
from ccx.cmon.engines.mysql_family import keeper
from ccx.cmon.engines.mysql_family.backed_up import NumberedEngine
from ccx.cmon.engines.mysql_family.galera import config, deciding, membership, tuning
from ccx.cmon.engines.mysql_family.galera.layout import BOOTSTRAP_FILE, FLAVOUR, GROUP, IST, SST
from ccx.cmon.engines.mysql_family.galera.view import to_view
from ccx.cmon.engines.mysql_family.layout import KEEPER, KEEPER_UNIT, MYSQL
from ccx.cmon.engines.mysql_family.mariadb.endpoints import KEEPER_STATUS
from ccx.cmon.engines.mysql_family.mariadb.vendor import BAKED, IMAGE, SOFTWARE, VENDOR, VERBS
from ccx.cmon.engines.sizing import implied
from ccx.cmon.manager import renewal
from ccx.cmon.manager.clients import Kept
from ccx.cmon.manager.look import Report, reports_of
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, ClusterView
from ccx.errors import Invalid, Transient
from ccx.settings import Settings

_BEGINS_WITHIN_S = 15.0
"""What a server takes to begin a group; clients of the API give up after 30 seconds."""
_PROMISES = {
    1: "1: no high availability, a group of its own; if the node is lost, a backup is what is left",
    3: "3: highly available; every member has every write, survives 1 lost at once",
    5: "5: highly available; every member has every write, survives 2 lost at once",
}


class GaleraEngine(NumberedEngine):
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = VENDOR
    topologies = ("galera",)
    image = IMAGE
    baked = BAKED
    ports = (
        Port(MYSQL, "MariaDB", clients=True),
        Port(KEEPER, "the keepers' status, and copies of the data", peers=True, control=True),
        Port(GROUP, "the group", peers=True),
        Port(IST, "what a member missed", peers=True),
        Port(SST, "a whole copy, where what it missed is not kept any more", peers=True),
    )
    software = SOFTWARE
    verbs = VERBS
    flavour = FLAVOUR
    seen_by = (KEEPER, GROUP)
    proofs = (
        Proof(
            ("11.8",),
            "on real nodes: all that is said here",
            (
                "e2e/test_galera_engine.py",
                "e2e/test_galera.py",
                "e2e/test_galera_backup.py",
                "e2e/test_galera_restore_in_place.py",
            ),
        ),
        Proof(("10.11", "11.4"), "its configuration; not run", ("unit/test_cmon_galera.py",)),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._clients = Kept(settings, KEEPER_STATUS)

    def parameters(self, memory_mib: int, cpus: int) -> dict[str, str]:
        return implied(tuning.of_size, memory_mib, cpus)

    def promise(self, size: int) -> str:
        if size in _PROMISES:
            return _PROMISES[size]
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

    def _files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.node_files(cluster, label) + self._backup_files(cluster, label)

    def _tls_files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.tls_files(cluster, label)

    async def shows_certificate(self, cluster: ClusterSpec, label: str) -> bool:
        return await renewal.shown(self._settings, (KEEPER_STATUS, KEEPER), None, cluster, label)

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        # Those who stay must be able to reach it before it is to take part.
        await egress.tell(channel, self._settings, cluster, token, without=label)
        await membership.join(self._clients.of(cluster), channel, cluster, label, token, progress)
        await self._ship_from(channel, cluster, label, token)

    async def forget(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        # The group has done so by itself; its members shall not look for it when they start.
        staying = [node.label for node in cluster.nodes if node.label != label]
        await membership.tell(channel, cluster, staying, token)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        return to_view(cluster, await self._reports(cluster))

    async def remains(self, cluster: ClusterSpec) -> tuple[Remains, ...]:
        # There is no way back from what is decided by this: who has the most may be the slowest to say so.
        return deciding.remains(cluster, await self._reports(cluster, patiently=True))

    async def bootstrap(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        found = await self.remains(cluster)
        deciding.check(found, label)
        args = {"file": str(BOOTSTRAP_FILE), "unit": FLAVOUR.unit}
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
        await channel.call(primary, "galera-reads", {"current": current}, token=token, timeout=30)

    async def _reports(self, cluster: ClusterSpec, *, patiently: bool = False) -> dict[str, Report]:
        return await reports_of(cluster, partial(keeper.status, self._clients.of(cluster)), patiently=patiently)

    async def close(self) -> None:
        """Ends the connections that are kept."""
        await self._clients.close()
