"""A restore to the newest moment, ordered while nobody leads the datastore that it is made from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.integration.conftest import Database
from tests.integration.saga.cases import CASES, Saga
from tests.integration.saga.cases.saga import new_saga
from tests.integration.saga.installation import SagaInstallation, saga_installation
from tests.integration.saga.logs import log_plainly
from tests.integration.saga.simulated import simulated_cloud
from tests.seaweedfs import seaweedfs

from ccx import jobs
from ccx.cmon.engines.simulated import SimulatedEngine
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.spec import ClusterSpec
from ccx.db import utc_now
from ccx.errors import Transient
from ccx.jobs import Runner, StepRecord
from ccx.runner import repositories
from ccx.runner.services import Services
from ccx.runner.steps import restores
from ccx.storage.opened import open_store
from ccx.stores import datastores
from ccx.stores.models import Datastore, Status


class FailingOver(SimulatedEngine):
    """Has no primary to end the log, ``in_vain`` times."""

    def __init__(self, channel: NodeChannel, in_vain: int) -> None:
        super().__init__(channel)
        self.in_vain = in_vain
        self.ended: tuple[str, ...] = ()
        """Whose log was."""

    async def archive_now(self, channel: NodeChannel, cluster: ClusterSpec, token: int) -> None:
        if self.in_vain:
            self.in_vain -= 1
            raise Transient(f"{cluster.short_id} has no primary now")
        await super().archive_now(channel, cluster, token)
        self.ended += (cluster.short_id,)


@pytest.fixture
async def installation(database: Database) -> AsyncIterator[SagaInstallation]:
    log_plainly()
    with TemporaryDirectory(prefix="ccx-end-") as directory:
        async with (
            simulated_cloud(lease=0.2) as cloud,
            seaweedfs(Path(directory) / "store") as store,
            saga_installation(Path(directory), cloud.socket, database.dsn, store) as made,
        ):
            yield made


async def test_what_the_next_primary_has_is_restored_too(installation: SagaInstallation) -> None:
    engine = FailingOver(installation.services.channel, in_vain=2)
    source, end = await _restored(installation, engine)
    assert engine.in_vain == 0
    assert engine.ended[:1] == (source.short_id,)
    assert end.progress is None


async def test_where_nobody_leads_any_more_what_is_stored_is_restored_and_that_is_said(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "_FAILS_OVER_WITHIN_S", 0)
    _, end = await _restored(installation, FailingOver(installation.services.channel, in_vain=1_000))
    assert end.progress is not None
    assert end.progress["note"] == "not stored: what is in the store is all that can be restored"


async def test_a_time_behind_what_is_stored_is_refused_when_no_more_can_be(
    installation: SagaInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends before it would be taken for what was there then."""
    monkeypatch.setattr(restores, "_FAILS_OVER_WITHIN_S", 0)
    engine = FailingOver(installation.services.channel, in_vain=1_000)
    with pytest.raises(AssertionError, match=r"is not in the object store, nothing of it is"):
        await _restored(installation, engine, to=utc_now())
    with pytest.raises(AssertionError, match=r"is not in the object store, only what was written until"):
        await _restored(installation, engine, to=utc_now() + timedelta(hours=1), stored=True)
    _, end = await _restored(installation, engine, to=utc_now(), stored=True)
    assert end.progress is not None


async def _restored(
    installation: SagaInstallation, engine: FailingOver, to: datetime | None = None, *, stored: bool = False
) -> tuple[Saga, StepRecord]:
    """What was restored, ordered while its primary is lost; and the step that was to have the end of its log stored."""
    services = replace(installation.services, engine=lambda vendor, topology="": engine)
    runner = Runner(installation.engine, services, lease=10, heartbeat=2, poll=0.2)
    running = asyncio.create_task(runner.run())
    try:
        case = CASES["restore_datastore"]
        saga = await new_saga(installation, case.size)
        await case.prepare(saga)
        source: Saga = saga.notes["source"]
        async with services.sessions.begin() as tx:
            datastores.set_status(tx, await datastores.get(tx, source.datastore_id), Status.FAILURE, "no primary")
            if to is not None:
                made = await datastores.get(tx, saga.datastore_id)
                made.origin = {**(made.origin or {}), "to": to.isoformat()}
        if stored:
            await _store_part(services, await source.datastore())
        await saga.done("restore_datastore", label=saga.args["label"])
        await case.check_done(saga)
        await saga.idle()
    finally:
        runner.stop()
        await running
    async with services.sessions() as tx:
        done, _ = await jobs.history(tx, str(saga.datastore_id))
        (restore,) = [job for job in done if job.kind == "restore_datastore"]
        (end,) = [step for step in await jobs.steps(tx, restore.id) if step.name == "end of the log"]
    return source, end


async def _store_part(services: Services, datastore: Datastore) -> None:
    """A part of its log, as PostgreSQL's are called."""
    store = open_store(services.settings.clouds[0], services.settings)
    try:
        await store.put(f"{repositories.prefix(datastore)}archive/orders/{1:024X}-{'0' * 40}.zst", b"a part of it")
    finally:
        await store.close()
