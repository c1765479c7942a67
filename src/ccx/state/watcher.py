"""Watches one datastore: probes its primary, compares desired with observed, fences, repairs, moves its names."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ccx import jobs, pki
from ccx.clouds.base import ServerState
from ccx.cmon.backup import ArchiveState, BacksUp
from ccx.cmon.engines.base import NamesLeader
from ccx.cmon.spec import ClusterSpec, ClusterView, Role
from ccx.db import utc_now
from ccx.errors import CcxError, Transient
from ccx.runner import branches
from ccx.runner.services import Services
from ccx.runner.steps import network
from ccx.runner.subject import Subject
from ccx.state import archive, fence, gaps, renewal, repair, verdict
from ccx.stores import audit, datastores, nodes
from ccx.stores.models import Desired, Node, NodeStatus, Status

PROBE_EVERY = 1.0
"""Seconds between two probes of the primary."""
PROBE_WITHIN = 1.0
"""Seconds that a probe may take."""
UNSETTLED_EVERY = 2.0
"""Seconds between two comparisons while not all is well."""
ARCHIVE_EVERY, ARCHIVE_WITHIN = 15.0, 10.0
"""Seconds between two questions about the log's archive, each a connection to a node; and for an answer."""
BOOTING = 120.0
"""Seconds for which the silence of a machine that was just started again proves nothing."""

log = structlog.get_logger()


class Watcher:
    """One per datastore. :meth:`run` until cancelled; :meth:`look` makes it compare at once."""

    def __init__(self, services: Services, datastore_id: UUID) -> None:
        self._services = services
        self._id = datastore_id
        self._awake = asyncio.Event()
        self._due = True
        """A comparison is wanted now."""
        self._stopped: set[str] = set()
        """Servers that the cloud reported as off, not dealt with yet."""
        self._primary: str | None = None
        self._only_we: str | None = None
        """The label of a node that the control plane alone can't reach."""
        self._fenced: dict[str, fence.Outcome] = {}
        """What came of fencing nodes that have not answered us since, by label."""
        self._started: dict[str, float] = {}
        """When machines were started again, by node."""
        self._turn = 0
        """Which replica is probed next."""
        self._archive_asked, self._archive = float("-inf"), ArchiveState(0)
        self._archive_asking: asyncio.Task[None] | None = None
        self._gap: archive.Gap | None = None
        """Of the last comparison."""
        self._filling = archive.Filling()
        self._full_in: float | None = None
        self._spec: ClusterSpec | None = None
        self._subject: Subject | None = None

    def look(self) -> None:
        """Compare now."""
        self._due = True
        self._awake.set()

    def server_stopped(self, server: str) -> None:
        """The cloud reported that this machine is off: if it led, its leadership ends now."""
        self._stopped.add(server)
        self._awake.set()

    def has_server(self, server: str) -> bool:
        return self._subject is not None and any(n.server == server for n in self._subject.datastore.nodes)

    async def run(self) -> None:
        """Compares every ``state_interval``, and at once when told to; probes the nodes in between."""
        try:
            await self._watch()
        finally:
            if self._archive_asking is not None:
                self._archive_asking.cancel()  # another may lead by now, and order what is missing

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        next_look = 0.0
        while True:
            self._awake.clear()
            try:
                if self._subject is None:
                    await self._recall()
                if self._stopped:
                    await self._machine_stopped(self._stopped.pop())
                elif self._due or clock() >= next_look:
                    self._due = False
                    settled = await self._compare()
                    next_look = clock() + (self._services.settings.state_interval if settled else UNSETTLED_EVERY)
                else:
                    await self._probe()
            except (CcxError, Transient, SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("watching failed; trying again", datastore=str(self._id), reason=str(error))
                next_look = clock() + UNSETTLED_EVERY
            if not (self._stopped or self._due):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_EVERY):
                        await self._awake.wait()

    async def _recall(self) -> None:
        """Goes by what was seen last, so that a primary which died before our first look is missed all the same."""
        subject, _ = await self._load()
        seen = subject.datastore.observed
        primary = ClusterView.from_json(seen).primary if seen else None
        self._primary = primary.label if primary is not None else None

    async def _machine_stopped(self, server: str) -> None:
        subject, spec = await self._load()
        node = next((n for n in nodes.members(subject.datastore) if n.server == server), None)
        if node is None:
            return
        now = await subject.cloud.get_server(server)
        if now is None or now.state is ServerState.STOPPED:
            await self._lost(subject, spec, node)
        else:
            self.look()  # it restarts itself: fenced for a moment's silence, it would be off for good

    async def _load(self) -> tuple[Subject, ClusterSpec]:
        subject = await Subject.load(self._services, self._id)
        self._subject, self._spec = subject, await subject.cluster()
        return self._subject, self._spec

    async def _probe(self) -> None:
        """One request to the primary's own health endpoint; if it fails, a second one while the peers are asked."""
        subject, spec, label = self._subject, self._spec, self._primary
        if subject is None or spec is None or label is None or all(n.label != label for n in spec.nodes):
            return
        alive = await subject.engine.alive(spec, label, PROBE_WITHIN)
        if not alive:
            # Side by side: each second counts while nobody can write.
            alive, votes = await asyncio.gather(
                subject.engine.alive(spec, label, PROBE_WITHIN),
                subject.engine.peers_see(self._services.channel, spec, label),
            )
            if not alive and self._is_booting(label):
                return  # fenced for its silence, it would never come back
            if not alive:
                subject, spec = await self._load()
                node = next(n for n in subject.datastore.nodes if n.label == label)
                await self._lost(subject, spec, node, votes)
                return
        self._fenced.pop(label, None)
        self._reached(label)
        await self._probe_a_replica(subject, spec, label)

    def _newly_silent(self, view: ClusterView) -> str | None:
        """Who leads by the cluster's word and does not answer us, while its peers were not asked about it yet."""
        leading = next((m.label for m in view.members if m.role is Role.PRIMARY), None)
        known = leading is None or leading in self._fenced or leading == self._only_we or self._is_booting(leading)
        return leading if not known and leading in view.unreachable else None

    def _is_booting(self, label: str) -> bool:
        started = self._started.get(label)
        return started is not None and asyncio.get_running_loop().time() - started < BOOTING

    async def _probe_a_replica(self, subject: Subject, spec: ClusterSpec, primary: str) -> None:
        """Another one each time; one that is silent is looked at with all the others."""
        replicas = [n.label for n in spec.nodes if n.label != primary]
        if replicas:
            self._turn = (self._turn + 1) % len(replicas)
            asked, engine = replicas[self._turn], subject.engine
            if not await engine.alive(spec, asked, PROBE_WITHIN):
                self.look()
                return
            self._fenced.pop(asked, None)
            self._reached(asked)
            said = await engine.leader(spec, asked, PROBE_WITHIN) if isinstance(engine, NamesLeader) else None
            if said not in (None, primary):
                self.look()  # a server can end, and another take its place, on nodes that all answer

    def _reached(self, label: str) -> None:
        """It answers us. Another may lead by now: what is said of a node holds whatever it is."""
        if self._only_we == label:
            self._only_we = None
            self.look()

    async def _lost(
        self, subject: Subject, spec: ClusterSpec, node: Node, votes: dict[str, bool] | None = None
    ) -> None:
        """A node is believed lost: fence it if that is right, and follow what the cluster makes of it."""
        if node.status is NodeStatus.KEPT or branches.state(subject.datastore) == branches.SWITCHING:
            return  # whoever turns it off does so in good order, and may need it again in a moment
        evidence = await fence.fence(subject, spec, node, votes, self._fenced.get(node.label))
        self._fenced[node.label] = evidence.outcome
        self._only_we = node.label if evidence.outcome is fence.Outcome.ONLY_WE else None
        if evidence.outcome is fence.Outcome.RELEASED:
            await self._follow_failover(subject, spec, node.label)
        self.look()

    async def _follow_failover(self, subject: Subject, spec: ClusterSpec, former: str) -> None:
        """Waits for the new primary and moves the names to it: the sooner, the shorter the gap for their users."""
        async with asyncio.timeout(60):
            while True:
                view = await subject.engine.observe(spec)
                if view.primary is not None and view.primary.label != former:
                    break
                await asyncio.sleep(0.25)
        await network.publish(subject, nodes.members(subject.datastore), view)
        log.info("failed over", datastore=subject.datastore.short_id, was=former, now=view.primary.label)

    async def _compare(self) -> bool:
        """Observes once, records what it means, and acts on it. True when all is well."""
        subject, spec = await self._load()
        if branches.state(subject.datastore) == branches.SWITCHING:
            return False
        members = nodes.members(subject.datastore)
        if self._only_we not in {node.label for node in members}:
            self._only_we = None  # it was replaced
        view = await subject.engine.observe(spec)
        if (silent := self._newly_silent(view)) is not None:
            # Whether only we have lost it is found out before anything is said of it.
            self._primary = silent
            await self._probe()
            if silent in self._fenced:
                return False
            view = await subject.engine.observe(spec)
        off = await self._off(subject, members, view)
        expiries = {label: pki.expires_at(pair.certificate) for label, pair in spec.secrets.nodes.items()}
        async with self._services.sessions() as tx:
            self._gap = await gaps.missing(tx, subject.datastore)
        found = verdict.judge(
            view, size=subject.datastore.size, certificates=expiries, now=utc_now(), only_we=self._only_we,
            archive=self._archive_reasons(subject, spec, view), backup_failed=subject.datastore.backup_failed,
        )  # fmt: skip
        if not await self._record(spec, view, found, off):
            return False
        if view.primary is not None and self._primary != view.primary.label:
            self._primary = view.primary.label
        await network.publish(subject, members, view)
        await self._repair(view)
        await self._renew([*expiries.values(), pki.expires_at(spec.secrets.control.certificate)])
        return found.status is Status.STARTED

    def _archive_reasons(self, subject: Subject, spec: ClusterSpec, view: ClusterView) -> list[str]:
        """What was seen last of the log's archive. It is asked for beside all this, which must not wait for a node."""
        clock, engine = asyncio.get_running_loop().time, subject.engine
        if spec.backup is None or not isinstance(engine, BacksUp):
            return []
        if view.primary is not None and clock() - self._archive_asked >= ARCHIVE_EVERY:
            self._archive_asked = clock()
            self._archive_asking = asyncio.create_task(self._ask_archive(engine, spec))
        return archive.reasons(self._archive, self._full_in, self._gap)

    async def _ask_archive(self, engine: BacksUp, spec: ClusterSpec) -> None:
        with contextlib.suppress(CcxError, Transient, SQLAlchemyError, OSError, TimeoutError):
            async with asyncio.timeout(ARCHIVE_WITHIN):
                found = await engine.archive_state(self._services.channel, spec)
            before, self._archive = self._archive, found
            self._full_in = self._filling.after(asyncio.get_running_loop().time(), found.free)
            said = archive.told(found)
            news = False
            if said is not None:
                async with self._services.sessions.begin() as tx:
                    news = await gaps.remember(tx, self._id, spec.branch, said)
            if news or bool(archive.reasons(before)) != bool(archive.reasons(found)):
                self.look()
            if (news or self._gap is not None) and found.waits <= archive.LATE:
                async with self._services.sessions.begin() as tx:
                    await gaps.make_up(tx, self._id)

    async def _off(self, subject: Subject, members: list[Node], view: ClusterView) -> set[str]:
        """Labels of the members that do not serve: off by the cloud's word, or silent to the cluster and to us.

        Who leads by the cluster's word holds its lease: that it is silent to us is no proof.
        """
        serving = {m.label for m in view.members if m.healthy}
        leading = {m.label for m in view.members if m.role is Role.PRIMARY}
        doubtful = [n for n in members if n.label not in serving]
        off = set()
        for node in doubtful:
            try:
                server = await subject.cloud.get_server(node.server)
                stopped = server is None or server.state is ServerState.STOPPED
            except (CcxError, Transient):
                stopped = False  # a cloud that is silent must not keep names from following a failover
            if stopped or (node.label in view.unreachable and node.label not in leading):
                off.add(node.label)
        return off

    async def _record(self, spec: ClusterSpec, view: ClusterView, found: verdict.Verdict, off: set[str]) -> bool:
        """False, and nothing is recorded, when other members make up the datastore by now, or it shall go."""
        async with self._services.sessions.begin() as tx:
            datastore = await datastores.get(tx, self._id, for_update=True)
            members = nodes.members(datastore)
            if {n.label for n in members} != {n.label for n in spec.nodes} or datastore.desired is Desired.ABSENT:
                return False
            if branches.state(datastore) == branches.SWITCHING:
                return False
            for node in members:
                if node.label in off:
                    node.status, node.lost_since = NodeStatus.LOST, node.lost_since or utc_now()
                else:
                    node.status, node.lost_since = NodeStatus.ACTIVE, None
            datastore.observed, datastore.observed_at = view.to_json(), utc_now()
            datastore.archived_at = self._archive.newest or datastore.archived_at
            if datastores.set_status(tx, datastore, found.status, found.why):
                log.info("status", datastore=datastore.short_id, status=found.status.value, why=found.why)
        return True

    async def _repair(self, view: ClusterView) -> None:
        """Starts the repair that is due, unless an operation runs or waits already."""
        wanted = self._services.settings.auto_repair
        if not wanted.enabled:
            return
        async with self._services.sessions.begin() as tx:
            datastore = await datastores.get(tx, self._id)
            members = nodes.members(datastore)
            due = repair.decide(view, members, utc_now(), timedelta(seconds=wanted.delay))
            running = await jobs.active(tx, str(self._id))
            if isinstance(due, repair.PowerOn) and running is not None and running.kind == "replace_node":
                # It waits for a cluster, which may wait for these; the one that it replaces is its own to deal with.
                due = repair.PowerOn(tuple(n for n in due.nodes if str(n.id) != running.args["node_id"]))
            elif due is None or running is not None:
                return
            if isinstance(due, repair.Replace):
                audit.record(tx, "ccx-state-worker", "replace", self._id, node=due.node.label)
                await jobs.enqueue(
                    tx,
                    "replace_node",
                    key=str(self._id),
                    args={"datastore_id": str(self._id), "node_id": str(due.node.id), "only_if_lost": True},
                    owner=(datastore.owner_type, datastore.owner_id),
                    label="JOB_TYPE_REPAIR_NODE",
                    dedup=True,
                )
                return
        for node in due.nodes:
            await self._power_on(Subject(self._services, datastore), node)

    async def _renew(self, expiries: list[datetime]) -> None:
        """Has certificates replaced in good time; after a failure not again before a while."""
        if not renewal.due(expiries, utc_now()):
            return
        async with self._services.sessions.begin() as tx:
            datastore = await datastores.get(tx, self._id)
            recent, _ = await jobs.history(tx, str(self._id), limit=20)
            tried = [job.created_at for job in recent if job.kind == renewal.KIND]
            if datastore.status not in (Status.STARTED, Status.DEGRADED) or not renewal.again(tried, utc_now()):
                return
            if await jobs.active(tx, str(self._id)) is not None:
                return
            audit.record(tx, "ccx-state-worker", "rotate certificates", self._id)
            await jobs.enqueue(
                tx, renewal.KIND, key=str(self._id), args={"datastore_id": str(self._id)},
                owner=(datastore.owner_type, datastore.owner_id), label="JOB_TYPE_ROTATE_CERTIFICATES", dedup=True,
            )  # fmt: skip

    async def _power_on(self, subject: Subject, node: Node) -> None:
        """Starts a lost node's machine, if the cloud says that it is off; one that runs is only silent."""
        server = await subject.cloud.get_server(node.server)
        if server is None or server.state is not ServerState.STOPPED:
            return
        async with self._services.sessions.begin() as tx:
            audit.record(tx, "ccx-state-worker", "power on", self._id, node=node.label)
        token = await fence.token(subject)
        await subject.cloud.power_on(node.server, subject.tags(token))
        self._started[node.label] = asyncio.get_running_loop().time()
