"""What the state worker does about a datastore, watched on the simulated cloud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.cloud_conformance import eventually
from tests.integration.conftest import Database
from tests.integration.saga.cases import Saga, new_saga
from tests.integration.saga.installation import SagaInstallation, saga_installation
from tests.integration.saga.logs import log_plainly
from tests.integration.saga.simulated import simulated_cloud

from ccx import jobs
from ccx.clouds.simulated.faults import Fault
from ccx.cmon.backup import ArchiveState
from ccx.cmon.engines.simulated import SimulatedEngine
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.primary import primary_of
from ccx.cmon.spec import ClusterSpec, ClusterView
from ccx.db import make_engine, utc_now
from ccx.errors import Transient
from ccx.jobs import JobStatus, Runner
from ccx.runner import repositories
from ccx.runner.services import Services
from ccx.runner.subject import Subject
from ccx.settings.model import AutoRepair
from ccx.state import expiring, fence, forgetting, watcher
from ccx.state.worker import StateWorker
from ccx.storage import Credentials
from ccx.stores import backups, datastores, nodes
from ccx.stores.models import Audit, Datastore, NodeStatus, Outbox, Status


@pytest.fixture(scope="module")
async def installation(database: Database) -> AsyncIterator[SagaInstallation]:
    log_plainly()
    with TemporaryDirectory(prefix="ccx-watch-") as directory:
        async with (
            simulated_cloud(lease=0.2) as cloud,
            saga_installation(Path(directory), cloud.socket, database.dsn) as made,
        ):
            yield made


class Counting(SimulatedEngine):
    """Counts how often it probed, and how often no survivor could be told that the primary is off."""

    probed = in_vain = 0

    async def alive(self, cluster: ClusterSpec, label: str, within: float) -> bool:
        self.probed += 1
        return await super().alive(cluster, label, within)

    async def release_leader(self, cluster: ClusterSpec, dead: str) -> bool:
        try:
            return await super().release_leader(cluster, dead)
        except Transient:
            self.in_vain += 1
            raise


async def test_what_stays_as_it_is_about_a_lost_primary_is_audited_once(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PROBE_EVERY", 0.01)
    monkeypatch.setattr(watcher, "UNSETTLED_EVERY", 0.1)
    saga = await _started(installation, 2)
    servers = [node.server for node in nodes.members(await saga.datastore())]
    engine = Counting(installation.services.channel)
    services = replace(installation.services, engine=lambda vendor, topology="": engine)
    async with at_work(watcher.Watcher(services, saga.datastore_id)):
        await eventually(lambda: _probed(engine), 10)
        for server in servers:
            await installation.control.kill(server)
        await eventually(lambda: _tried_in_vain(engine, 4), 30)
        assert await _fencings(saga) == ["unconfirmed"]


async def test_a_primary_that_died_before_anybody_watched_is_missed_all_the_same(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PROBE_EVERY", 0.01)
    saga = await _started(installation, 2)
    for node in nodes.members(await saga.datastore()):
        await installation.control.kill(node.server)
    engine = Counting(installation.services.channel)
    services = replace(installation.services, engine=lambda vendor, topology="": engine)
    async with at_work(watcher.Watcher(services, saga.datastore_id)):
        await eventually(lambda: _tried_in_vain(engine, 1), 15)


class OutOfSight(SimulatedEngine):
    """From some moment on who leads does not answer the control plane. Its peers see it as before."""

    away = False

    async def alive(self, cluster: ClusterSpec, label: str, within: float) -> bool:
        led = (await super().observe(cluster)).primary
        return await super().alive(cluster, label, within) and not (self.away and led and led.label == label)

    async def observe(self, cluster: ClusterSpec) -> ClusterView:
        seen = await super().observe(cluster)
        if not self.away or (led := seen.primary) is None:
            return seen
        members = tuple(replace(m, healthy=False) if m is led else m for m in seen.members)
        return replace(seen, members=members, unreachable=(*seen.unreachable, led.label))


async def test_a_primary_that_only_the_control_plane_cant_reach_is_never_said_to_have_failed(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PROBE_EVERY", 0.05)
    monkeypatch.setattr(watcher, "UNSETTLED_EVERY", 0.1)
    saga = await _started(installation, 3)
    engine = OutOfSight(installation.services.channel)
    services = replace(installation.services, engine=lambda vendor, topology="": engine)
    engine.away = True  # the first thing that is done is to compare, before any probe
    async with at_work(watcher.Watcher(services, saga.datastore_id)):
        await eventually(lambda: _is(saga, Status.DEGRADED), 30)
        engine.away = False
        await eventually(lambda: _is(saga, Status.STARTED), 30)
    assert (await _statuses(saga))[-2:] == ["DEGRADED", "STARTED"]
    assert Status.FAILURE.value not in await _statuses(saga)


async def test_a_failover_is_followed_while_the_cloud_says_nothing(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PROBE_EVERY", 0.05)
    monkeypatch.setattr(watcher, "UNSETTLED_EVERY", 0.1)
    saga = await _started(installation, 3)
    first, *_ = nodes.members(await saga.datastore())
    await installation.control.add_fault(Fault(call="get_server", error="Unavailable", times=None))
    await installation.control.freeze(first.server)

    async def followed() -> bool:
        datastore = await saga.datastore()
        led = ClusterView.from_json(datastore.observed).primary if datastore.observed else None
        return led is not None and led.label != first.label and datastore.status is Status.DEGRADED

    try:
        async with at_work(watcher.Watcher(installation.services, saga.datastore_id)):
            await eventually(followed, 20)
    finally:
        await installation.control.clear_faults()


class Noting(SimulatedEngine):
    """Each node says of the log what it noted itself."""

    def __init__(self, channel: NodeChannel) -> None:
        super().__init__(channel)
        self.noted: dict[str, ArchiveState] = {}
        self.asked: list[str] = []

    async def archive_state(self, channel: NodeChannel, cluster: ClusterSpec) -> ArchiveState:
        primary = primary_of(cluster, await self.observe(cluster)).label
        self.asked.append(primary)
        return self.noted.get(primary, ArchiveState(0))


async def test_a_gap_in_the_log_outlives_the_node_that_told_of_it_until_a_full_backup_makes_up_for_it(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PROBE_EVERY", 0.05)
    monkeypatch.setattr(watcher, "UNSETTLED_EVERY", 0.1)
    monkeypatch.setattr(watcher, "ARCHIVE_EVERY", 0.1)
    saga = await _started(installation, 3)
    first, *_ = nodes.members(await saga.datastore())
    engine = Noting(installation.services.channel)
    services = _with_a_store(replace(installation.services, engine=lambda vendor, topology="": engine))
    async with services.sessions.begin() as tx:
        await repositories.keep(tx, services, await datastores.get(tx, saga.datastore_id), Credentials("key", "secret"))
    began = utc_now().replace(microsecond=0) - timedelta(minutes=9)
    gave_up = began + timedelta(minutes=3)
    await _backed_up(saga, "before", began)
    engine.noted[first.label] = ArchiveState(
        600, given_up=12, given_up_since=began + timedelta(minutes=2), given_up_last=gave_up
    )

    async with at_work(watcher.Watcher(services, saga.datastore_id)):
        await eventually(lambda: _says(saga, "12 segments of the log were given up"), 8)
        assert await _ordered(saga) == set(), "the store takes nothing yet"

        await installation.control.kill(first.server)
        await eventually(lambda: _asked_another(engine, first.label), 8)
        await eventually(lambda: _says(saga, "parts of the log were given up"), 8)
        await eventually(lambda: _is_ordered(saga, "backup_datastore", "verify_backups"), 8)

        await _backed_up(saga, "after", gave_up + timedelta(minutes=1))
        await eventually(lambda: _says_nothing(saga, "the log"), 8)
        await _cancelled(saga)
        engine.asked.clear()
        await eventually(lambda: _asked_another(engine, first.label), 8)
        assert await _ordered(saga) == set(), "nothing is left to be made up for"


async def test_a_node_that_came_back_before_its_replacement_began_stays(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "PROBE_EVERY", 0.05)
    monkeypatch.setattr(watcher, "UNSETTLED_EVERY", 0.1)
    saga = await _started(installation, 3)
    subject = await saga.subject()
    lost = nodes.members(subject.datastore)[-1]
    settings = installation.services.settings.model_copy(update={"auto_repair": AutoRepair(delay=0.1)})
    async with at_work(watcher.Watcher(replace(installation.services, settings=settings), saga.datastore_id)):
        await installation.control.kill(lost.server)
        await eventually(lambda: _waits(saga, "replace_node"), 20)
        await subject.cloud.power_on(lost.server, subject.tags(await fence.token(subject)))
        await eventually(lambda: _is(saga, Status.STARTED), 20)
        async with _runner(installation):
            await saga.idle()
    assert {node.generation for node in (await saga.datastore()).nodes} == {1}
    assert lost.server in await saga.running(), "it is turned off"
    async with installation.services.sessions() as tx:
        (job, *_), _ = await jobs.history(tx, str(saga.datastore_id))
    assert (job.kind, job.status, job.error) == ("replace_node", JobStatus.DONE, None)


async def test_a_node_that_came_back_unseen_stays_and_one_without_a_survivor_waits(
    installation: SagaInstallation,
) -> None:
    """Nobody watches: what was last said of the node is old, and what the cluster says counts."""
    saga = await _started(installation, 2)
    subject = await saga.subject()
    primary, replica = nodes.members(subject.datastore)
    async with installation.services.sessions.begin() as tx:
        (await nodes.get(tx, replica.id)).status = NodeStatus.LOST
    async with _runner(installation):
        await saga.done("replace_node", node_id=str(replica.id), only_if_lost=True)
        for one in (primary, replica):
            await installation.control.kill(one.server)
        await saga.done("replace_node", node_id=str(replica.id), only_if_lost=True)
    assert {node.generation for node in (await saga.datastore()).nodes} == {1}


async def test_a_datastore_whose_watcher_failed_is_watched_again(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga = await _started(installation, 1)
    load, failed = watcher.Watcher._load, asyncio.Event()

    async def fail_once(self: watcher.Watcher) -> tuple[Subject, ClusterSpec]:
        subject, spec = await load(self)
        if subject.datastore.id == saga.datastore_id and not failed.is_set():
            failed.set()
            raise RuntimeError("a defect")
        return subject, spec

    monkeypatch.setattr(watcher.Watcher, "_load", fail_once)
    before = (await saga.datastore()).observed_at
    async with at_work(StateWorker(installation.services, installation.engine)):
        await eventually(lambda: _observed_after(saga, before), 30)


async def test_a_chore_that_fails_takes_nobody_with_it(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga = await _started(installation, 1)
    done = asyncio.Event()

    async def fail(_: Services) -> int:
        raise KeyError("a defect")

    async def follow(_: Services) -> int:
        done.set()
        raise OSError("the database went away")

    monkeypatch.setattr(forgetting, "forget", fail)
    monkeypatch.setattr(expiring, "expire", follow)
    before = (await saga.datastore()).observed_at
    leading = asyncio.create_task(StateWorker(installation.services, installation.engine).run(retry=60))
    try:
        await done.wait()
        await eventually(lambda: _observed_after(saga, before), 30)
        assert not leading.done()
    finally:
        leading.cancel()
        with suppress(asyncio.CancelledError):
            await leading


async def test_who_loses_the_lead_leaves_it_to_whoever_asks_next(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection goes back to its pool, and with it what its session holds."""
    await _started(installation, 1)
    worker, failed = StateWorker(installation.services, installation.engine), asyncio.Event()

    watched = datastores.watched

    async def fail(tx: AsyncSession) -> Sequence[Datastore]:
        if not worker._watchers:
            return await watched(tx)
        failed.set()
        raise OSError("the database went away")

    monkeypatch.setattr(datastores, "watched", fail)
    leading = asyncio.create_task(worker.run(retry=60))
    another = make_engine(installation.engine.url.render_as_string(hide_password=False))
    try:
        await failed.wait()

        async def free() -> bool:
            async with another.connect() as connection:
                return bool(await connection.scalar(text("select pg_try_advisory_lock(hashtext('ccx.state'))")))

        await eventually(free, 10)
    finally:
        leading.cancel()
        await another.dispose()
        with suppress(asyncio.CancelledError):
            await leading


@asynccontextmanager
async def at_work(who: watcher.Watcher | StateWorker) -> AsyncIterator[None]:
    """Meanwhile it runs."""
    working = asyncio.create_task(who.run())
    try:
        yield
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def _observed_after(saga: Saga, before: datetime | None) -> bool:
    at = (await saga.datastore()).observed_at
    return at is not None and (before is None or at > before)


async def _started(installation: SagaInstallation, size: int) -> Saga:
    saga = await new_saga(installation, size)
    async with _runner(installation):
        async with installation.services.sessions.begin() as tx:
            await jobs.enqueue(tx, "create_datastore", key=str(saga.datastore_id), args=saga.args)
        await eventually(lambda: _is(saga, Status.STARTED), 30)
    return saga


@asynccontextmanager
async def _runner(installation: SagaInstallation) -> AsyncIterator[None]:
    """Meanwhile jobs are done."""
    runner = Runner(installation.engine, installation.services, lease=10, heartbeat=2, poll=0.2)
    running = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        runner.stop()
        await running


async def _waits(saga: Saga, kind: str) -> bool:
    """Such a job is ordered, and nobody has begun with it."""
    async with saga.installation.services.sessions() as tx:
        (job, *_), _ = await jobs.history(tx, str(saga.datastore_id))
    return (job.kind, job.status) == (kind, JobStatus.QUEUED)


async def _ordered(saga: Saga) -> set[str]:
    """Operations that are ordered, and nobody has begun with."""
    async with saga.installation.services.sessions() as tx:
        found, _ = await jobs.history(tx, str(saga.datastore_id))
    return {job.kind for job in found if job.status is JobStatus.QUEUED}


async def _is_ordered(saga: Saga, *kinds: str) -> bool:
    return await _ordered(saga) == set(kinds)


async def _asked_another(engine: Noting, former: str) -> bool:
    """More than once: what came of the first time is done then."""
    return len([label for label in engine.asked if label != former]) > 2


async def _cancelled(saga: Saga) -> None:
    """All that is ordered."""
    async with saga.installation.services.sessions.begin() as tx:
        found, _ = await jobs.history(tx, str(saga.datastore_id))
        for job in found:
            await jobs.cancel(tx, job.id)


async def _backed_up(saga: Saga, label: str, began: datetime) -> None:
    """A full backup of then is on record."""
    row = {
        "label": label, "parent": None, "kind": "full", "good": True, "size": 1, "stored": 1,
        "started_at": began, "ended_at": began + timedelta(seconds=30),
    }  # fmt: skip
    async with saga.installation.services.sessions.begin() as tx:
        await backups.replace(tx, await datastores.get(tx, saga.datastore_id), [row])


def _with_a_store(services: Services) -> Services:
    """Whose datastores can be backed up, by their settings; nothing here asks the store, and nothing is repaired."""
    (cloud,) = services.settings.clouds
    stored = cloud.model_copy(update={"s3_endpoint": "https://198.18.0.9", "s3_bucket": "backups"})
    changed = {"clouds": (stored,), "auto_repair": AutoRepair(enabled=False)}
    return replace(services, settings=services.settings.model_copy(update=changed))


async def _says(saga: Saga, words: str) -> bool:
    return words in (await saga.datastore()).status_text


async def _says_nothing(saga: Saga, of: str) -> bool:
    return not await _says(saga, of)


async def _probed(engine: Counting) -> bool:
    return engine.probed > 0


async def _tried_in_vain(engine: Counting, times: int) -> bool:
    return engine.in_vain >= times


async def _is(saga: Saga, status: Status) -> bool:
    return (await saga.datastore()).status is status


async def _statuses(saga: Saga) -> list[str]:
    """One after the other, as they were reported."""
    wanted = select(Outbox.payload).where(Outbox.subject == f"ccx.datastore.{saga.datastore_id}.status")
    async with saga.installation.services.sessions() as tx:
        return [payload["to"] for payload in await tx.scalars(wanted.order_by(Outbox.id))]


async def _fencings(saga: Saga) -> list[str]:
    wanted = select(Audit.detail).where(Audit.action == "fence", Audit.datastore_id == saga.datastore_id)
    async with saga.installation.services.sessions() as tx:
        return [detail["outcome"] for detail in await tx.scalars(wanted.order_by(Audit.id))]
