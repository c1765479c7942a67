"""What a person says that a cluster can't know: with whose data it goes on, and what its readers wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select
from tests.integration.conftest import Database
from tests.integration.rest.conftest import Api, make_services

from ccx.cmon.engines.base import Remains
from ccx.cmon.engines.mysql_family.galera import deciding
from ccx.cmon.engines.simulated import SimulatedEngine
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.simulated_channel import SimulatedChannel
from ccx.cmon.spec import ClusterSpec
from ccx.runner.services import Services
from ccx.stores.models import Audit

HISTORY, OTHER = "804db302-eb6a-11f1-a7a0-3b09b2ee4fe8", "904db302-eb6a-11f1-a7a0-3b09b2ee4fe8"

pytestmark = pytest.mark.usefixtures("running")


class Asks(SimulatedEngine):
    """One whose members all were lost, the first for good; and whose replicas can wait."""

    def __init__(self, channel: NodeChannel) -> None:
        super().__init__(channel)
        self.chosen: list[str] = []
        self.histories = (HISTORY, HISTORY)
        """Of the second's data, and of the third's."""
        self.current = False

    async def remains(self, cluster: ClusterSpec) -> tuple[Remains, ...]:
        return (
            Remains("n1g1"),
            Remains("n2g1", answers=True, history=self.histories[0], position=12, note="no word of n1g1"),
            Remains("n3g1", answers=True, history=self.histories[1], position=11, note="no word of n1g1"),
        )

    async def bootstrap(self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int) -> None:
        deciding.check(await self.remains(cluster), label)
        self.chosen.append(label)

    async def reads_are_current(self, cluster: ClusterSpec) -> bool:
        return self.current

    async def set_reads(self, channel: NodeChannel, cluster: ClusterSpec, current: bool, token: int) -> None:
        self.current = current


@pytest.fixture(scope="module")
async def engine(cloud_socket: Path) -> AsyncIterator[Asks]:
    channel = SimulatedChannel(cloud_socket)
    yield Asks(channel)
    await channel.close()


@pytest.fixture(scope="module")
async def services(
    database: Database, cloud_socket: Path, engine: Asks, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    made = make_services(database.sessions, cloud_socket, tmp_path_factory.mktemp("instance"))
    yield replace(made, engine=lambda vendor, topology="": engine)
    await made.clouds["north"].close()
    await made.channel.close()


async def test_data_are_given_up_for_the_datastores_name_only_and_never_for_a_node_that_has_less(
    user: Api, services: Services, engine: Asks
) -> None:
    uuid = await user.started(general={"cluster_name": "shop"})
    path = f"/prov/api/v2/cluster/{uuid}/bootstrap"
    seen = {one["node"]: (one["answers"], one["position"]) for one in (await user.get(path)).json()}
    assert seen == {"n1g1": (False, -1), "n2g1": (True, 12), "n3g1": (True, 11)}

    refused = (await user.post(path, {"node": "n2g1", "confirm": "stop"})).json()
    assert (refused["code"], refused["field"]) == (422, "confirm")
    assert "n1g1 does not answer; n2g1 is at 804db302:12; n3g1 is at 804db302:11" in refused["err"]
    refused = (await user.post(path, {"node": "n3g1", "confirm": "shop"})).json()
    assert (refused["code"], refused["remedy"]) == (409, "Choose n2g1")
    refused = (await user.post(path, {"node": "n4g1", "confirm": "shop"})).json()
    assert (refused["code"], refused["field"]) == (422, "node")
    assert engine.chosen == []

    assert (await user.post(path, {"node": "n2g1", "confirm": "shop"})).status_code == 202
    assert engine.chosen == ["n2g1"]
    async with services.sessions() as tx:
        of_it = select(Audit.actor, Audit.detail).where(Audit.datastore_id == UUID(uuid), Audit.action == "bootstrap")
        told = (await tx.execute(of_it)).all()
    assert (f"user:{user.user_id}", {"node": "n2g1"}) in told
    assert len(told) == 3, "what was refused for its name was no decision"


async def test_of_several_decisions_at_a_time_one_is_taken(
    user: Api, engine: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "histories", (HISTORY, OTHER))
    monkeypatch.setattr(engine, "chosen", [])
    path = f"/prov/api/v2/cluster/{await user.started(general={'cluster_name': 'till'})}/bootstrap"
    answers = await asyncio.gather(*(user.post(path, {"node": n, "confirm": "till"}) for n in ("n2g1", "n3g1", "n2g1")))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    (taken,) = engine.chosen
    late = (await user.post(path, {"node": "n3g1", "confirm": "till"})).json()
    assert (late["code"], late["field"]) == (409, "node")
    assert late["err"].startswith(f"{taken} was chosen ")
    assert "ccx datastore bootstrap" in late["remedy"]
    assert engine.chosen == [taken]


async def test_readers_wait_when_they_are_told_to(user: Api, engine: Asks) -> None:
    path = f"/prov/api/v2/cluster/{await user.started()}/reads"
    assert (await user.get(path)).json() == {"current": False}
    assert (await user.post(path, {"current": True})).status_code == 202
    assert (await user.get(path)).json() == {"current": True}
    assert engine.current
