"""Taking over and giving back, when the cloud is late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.cloud_conformance import eventually
from tests.integration.conftest import Database
from tests.integration.saga.cases import CASES, Saga
from tests.integration.saga.installation import saga_installation
from tests.integration.saga.logs import log_plainly
from tests.integration.saga.meddle import Plan
from tests.integration.saga.nursery import nursery
from tests.integration.saga.simulated import simulated_cloud
from tests.integration.saga.suite import Suite

from ccx.clouds.base import ServerState
from ccx.clouds.simulated.faults import Fault
from ccx.jobs import JobStatus
from ccx.stores import nodes


@pytest.fixture
async def suite(database: Database) -> AsyncIterator[Suite]:
    log_plainly()
    with TemporaryDirectory(prefix="ccx-late-") as directory:
        async with (
            simulated_cloud(lease=0.2) as cloud,
            saga_installation(Path(directory), cloud.socket, database.dsn) as installation,
            nursery() as runners,
        ):
            yield Suite(installation, runners)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_who_serves_again_is_turned_on_again_when_a_call_to_turn_it_off_is_carried_out_late(suite: Suite) -> None:
    control, late = suite.installation.control, []

    async def turned_off_late(saga: Saga) -> None:
        first = nodes.members(await saga.datastore())[0].server
        await control.add_fault(Fault(call="verb:start", name=first, delay=2))
        late.append(asyncio.create_task(off_while_it_starts(first)))

    async def off_while_it_starts(server: str) -> None:
        for state in (ServerState.STOPPED, ServerState.RUNNING):
            await eventually(lambda state=state: is_in(server, state), within=60)
        await control.kill(server)

    async def is_in(server: str, state: ServerState) -> bool:
        return bool((await control.documents("server"))[server]["state"] == state)

    (ran,) = await suite.run(CASES["restore_in_place"], [Plan(fail_at="look")], meanwhile=turned_off_late)
    await asyncio.gather(*late)

    assert ran.job.status is JobStatus.FAILED
    assert CASES["restore_in_place"].check_undone is not None
    await CASES["restore_in_place"].check_undone(ran.saga)
