"""The simulated cloud: the duties of every cloud; and faults, deaths, and a memory that outlives a kill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cloud_conformance import CloudConformance, CloudUnderTest, Lab, eventually
from tests.integration.saga.simulated import SimulatedCloudProcess, simulated_cloud

from ccx.clouds.base import Demand, Denied, NoCapacity, QuotaExceeded, ServerState, Unavailable, Unconfirmed
from ccx.clouds.simulated.control import Control
from ccx.clouds.simulated.driver import SimulatedCloud
from ccx.clouds.simulated.faults import Fault
from ccx.cmon.engines.simulated import SimulatedEngine
from ccx.cmon.node_channel import NodeRefused, NodeUnreachable
from ccx.cmon.simulated_channel import SimulatedChannel
from ccx.cmon.spec import ClusterSecrets, ClusterSpec, KeyPair, NodeSpec
from ccx.errors import Transient
from ccx.settings import InstanceType

TINY = InstanceType(code="tiny", name="Tiny", type="tiny", cpu=1, ram=1)


def under_test(socket: Path, timeout: float = 30) -> CloudUnderTest:
    return CloudUnderTest(
        cloud=SimulatedCloud(socket, "sim", {"tiny": TINY}, timeout),
        instance="conformance",
        instance_type="tiny",
        region="here",
        volume_type="disk",
        user_data="#cloud-config\n",
        impossible=Demand("tiny", cpu=1000, ram=1, volume_size=10, region="here"),
        boots_within=5,
    )


class TestConformance(CloudConformance):
    @pytest.fixture(scope="class")
    @classmethod
    async def cloud_under_test(cls) -> AsyncIterator[CloudUnderTest]:
        async with simulated_cloud() as process:
            control = Control(process.socket)
            await control.set_limits(cpu=100)
            case = under_test(process.socket)
            yield case
            await case.cloud.close()
            await control.close()


@dataclass(frozen=True)
class Rig:
    process: SimulatedCloudProcess
    control: Control
    lab: Lab
    channel: SimulatedChannel
    engine: SimulatedEngine

    async def cluster(self, size: int) -> ClusterSpec:
        """A running cluster of the simulated engine."""
        nodes = []
        for index in range(1, size + 1):
            server = await self.lab.make_server(f"n{index}-1", f"data{index}")
            await self.lab.until_running(f"n{index}-1")
            assert server.private_ip is not None
            nodes.append(NodeSpec(str(index), f"n{index}g1", server.name, server.private_ip, "ssh-ed25519 AAAA"))
        pair = KeyPair("", "")
        spec = ClusterSpec(
            id=self.lab.datastore, short_id=self.lab.datastore, vendor="simulated", version="1", cluster_type="sim",
            nodes=tuple(nodes), primary_name="p", replicas_name="r", memory_mib=1, cpus=1, admin_user="admin",
            admin_database="db", secrets=ClusterSecrets("", "", "", "", "", {}, pair),
        )  # fmt: skip
        for node in nodes:
            await self.engine.configure(self.channel, spec, node.label, token=1)
        await self.engine.start(self.channel, spec, token=1)
        await self.engine.finish(self.channel, spec, token=1)
        return spec

    async def calls(self) -> list[tuple[str, bool]]:
        """This datastore's, and whether each changed anything."""
        calls = await self.control.calls()
        return [(c.call, c.changed) for c in calls if c.datastore == self.lab.datastore]

    async def primary(self, spec: ClusterSpec) -> str | None:
        primary = (await self.engine.observe(spec)).primary
        return primary.label if primary else None

    async def split_brains(self) -> int:
        clusters = await self.control.documents("cluster")
        return int(clusters[self.lab.datastore]["split_brains"])


@pytest.fixture(scope="module")
async def process() -> AsyncIterator[SimulatedCloudProcess]:
    async with simulated_cloud(lease=1) as process:
        yield process


@pytest.fixture
async def rig(process: SimulatedCloudProcess) -> AsyncIterator[Rig]:
    """A datastore of the test's own on the module's cloud, which is without faults and limits."""
    control, channel = Control(process.socket), SimulatedChannel(process.socket)
    lab = Lab(under_test(process.socket, timeout=1))
    yield Rig(process, control, lab, channel, SimulatedEngine(channel))
    await control.clear_faults()
    await control.set_limits()
    await lab.clean()
    await asyncio.gather(lab.cloud.close(), control.close(), channel.close())


@pytest.mark.parametrize("error", [QuotaExceeded, NoCapacity, Denied, Unavailable])
async def test_a_fault_fails_the_next_calls_of_its_kind_and_no_others(rig: Rig, error: type[Exception]) -> None:
    await rig.control.add_fault(Fault(call="create_volume", error=error.__name__, times=2))
    await rig.lab.cloud.put_firewall(rig.lab.firewall(22), rig.lab.tags())
    for _ in range(2):
        with pytest.raises(error):
            await rig.lab.cloud.create_volume(rig.lab.volume(), rig.lab.tags())
    assert await rig.calls() == [("put_firewall", True)]
    await rig.lab.cloud.create_volume(rig.lab.volume(), rig.lab.tags())


async def test_an_answer_can_be_lost_after_the_thing_was_done(rig: Rig) -> None:
    await rig.control.add_fault(Fault(call="create_*", error="Unavailable", moment="after", times=2))
    with pytest.raises(Unavailable):
        await rig.lab.cloud.create_volume(rig.lab.volume(), rig.lab.tags())
    with pytest.raises(Unavailable):
        await rig.lab.make_server()
    await rig.lab.make_server()
    await rig.lab.until_running()
    made = [(call, changed) for call, changed in await rig.calls() if call.startswith("create")]
    assert made == [
        ("create_volume", True),
        ("create_volume", False),
        ("create_volume", False),
        ("create_server", True),
    ]


async def test_a_server_whose_answer_was_lost_boots_nevertheless(rig: Rig) -> None:
    await rig.control.add_fault(Fault(call="create_server", error="Unavailable", moment="after"))
    with pytest.raises(Unavailable):
        await rig.lab.make_server()
    await rig.lab.until_running()


async def test_a_call_that_hangs_ends_as_unavailable_in_the_drivers_time(rig: Rig) -> None:
    await rig.control.add_fault(Fault(call="create_volume", hang=True))
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await rig.lab.cloud.create_volume(rig.lab.volume(), rig.lab.tags())
    assert time.monotonic() - started < 5
    assert await rig.lab.inventory() == {}


async def test_a_delayed_call_is_carried_out_late(rig: Rig) -> None:
    await rig.control.add_fault(Fault(call="create_volume", delay=0.3))
    started = time.monotonic()
    await rig.lab.cloud.create_volume(rig.lab.volume(), rig.lab.tags())
    assert time.monotonic() - started >= 0.3


async def test_a_power_off_can_stay_unconfirmed(rig: Rig) -> None:
    await rig.lab.make_server()
    await rig.lab.until_running()
    await rig.control.add_fault(Fault(call="power_off", name=rig.lab.name("n1-1"), error="Unconfirmed", times=None))
    for _ in range(2):
        with pytest.raises(Unconfirmed):
            await rig.lab.cloud.power_off(rig.lab.name("n1-1"), rig.lab.tags())
    assert await rig.lab.state() is ServerState.RUNNING
    await rig.control.clear_faults()
    await rig.lab.cloud.power_off(rig.lab.name("n1-1"), rig.lab.tags())
    assert await rig.lab.state() is ServerState.STOPPED


async def test_capacity_counts_what_exists(rig: Rig) -> None:
    await rig.control.set_limits(servers=1, volume_size=25)
    await rig.lab.make_server()
    with pytest.raises(NoCapacity, match="servers"):
        await rig.lab.make_server("n2-1", "data2")
    with pytest.raises(NoCapacity, match="volume_size"):
        await rig.lab.cloud.create_volume(rig.lab.volume("data3"), rig.lab.tags())


async def test_everything_outlives_a_killed_process(rig: Rig) -> None:
    spec = await rig.cluster(2)
    await rig.channel.call(spec.nodes[0], "ping", token=7)
    await rig.control.add_fault(Fault(call="create_volume", error="Denied"))
    before, calls = await rig.lab.inventory(), await rig.control.calls()
    await rig.process.kill()
    with pytest.raises(Unavailable):
        await rig.lab.inventory()
    await rig.process.start()
    assert await rig.lab.inventory() == before
    assert await rig.control.calls() == calls
    assert await rig.primary(spec) == "n1g1"
    with pytest.raises(NodeRefused, match="token 6"):
        await rig.channel.call(spec.nodes[0], "ping", token=6)
    with pytest.raises(Denied):
        await rig.lab.cloud.create_volume(rig.lab.volume("more"), rig.lab.tags())


async def test_a_machine_that_was_booting_when_the_process_died_boots(rig: Rig) -> None:
    await rig.lab.make_server()
    await rig.process.kill()
    await rig.process.start()
    await rig.lab.until_running()


async def test_a_killed_machine_is_reported_and_a_frozen_one_is_not(rig: Rig) -> None:
    spec = await rig.cluster(2)
    await rig.control.kill(rig.lab.name("n1-1"))
    await rig.control.freeze(rig.lab.name("n2-1"))
    assert await rig.lab.state("n1-1") is ServerState.STOPPED
    assert await rig.lab.state("n2-1") is ServerState.RUNNING
    for node in spec.nodes:
        with pytest.raises(NodeUnreachable):
            await rig.channel.call(node, "ping")


async def test_a_replica_takes_over_when_the_dead_primarys_lease_runs_out(rig: Rig) -> None:
    spec = await rig.cluster(3)
    await rig.control.freeze(rig.lab.name("n1-1"))
    died = time.monotonic()
    assert await rig.primary(spec) is None

    async def taken_over() -> bool:
        return await rig.primary(spec) == "n2g1"

    await eventually(taken_over, within=5)
    assert time.monotonic() - died >= 1
    assert await rig.split_brains() == 0


async def test_a_replica_takes_over_at_once_when_the_lease_is_released(rig: Rig) -> None:
    spec = await rig.cluster(3)
    await rig.control.kill(rig.lab.name("n1-1"))
    assert await rig.engine.release_leader(spec, "n1g1")
    assert await rig.primary(spec) == "n2g1"
    assert not await rig.engine.release_leader(spec, "n1g1")
    assert await rig.split_brains() == 0


async def test_releasing_the_lease_of_a_primary_that_lives_on_is_remembered_as_two_primaries(rig: Rig) -> None:
    spec = await rig.cluster(3)
    await rig.control.cut(rig.lab.name("n1-1"))
    assert await rig.engine.release_leader(spec, "n1g1")
    assert await rig.split_brains() == 1


async def test_two_nodes_do_not_fail_over_on_their_own(rig: Rig) -> None:
    spec = await rig.cluster(2)
    await rig.control.kill(rig.lab.name("n1-1"))
    await rig.engine.release_leader(spec, "n1g1")
    view = await rig.engine.observe(spec)
    assert view.primary is None
    assert view.answered_by == "n2g1"
    assert "n1g1 is down" in " ".join(view.problems) or "no primary" in " ".join(view.problems)


async def test_peers_tell_who_is_cut_off(rig: Rig) -> None:
    spec = await rig.cluster(3)
    assert await rig.engine.peers_see(rig.channel, spec, "n1g1") == {"n2g1": True, "n3g1": True}
    await rig.control.cut(rig.lab.name("n1-1"))
    assert not await rig.engine.alive(spec, "n1g1", within=1)
    assert await rig.engine.alive(spec, "n2g1", within=1)
    assert await rig.engine.peers_see(rig.channel, spec, "n1g1") == {"n2g1": False, "n3g1": False}


async def test_users_and_databases_live_in_the_cluster(rig: Rig) -> None:
    spec = await rig.cluster(2)
    await rig.engine.put_database(rig.channel, spec, "shop", None, token=2)
    await rig.engine.put_user(rig.channel, spec, "app", "secret", "shop", False, token=2)
    await rig.engine.switchover(spec, "n2g1")
    assert [d.name for d in await rig.engine.databases(rig.channel, spec)] == ["db", "shop"]
    assert [u.name for u in await rig.engine.users(rig.channel, spec)] == ["admin", "app"]
    await rig.engine.drop_user(rig.channel, spec, "app", token=2)
    await rig.engine.drop_database(rig.channel, spec, "shop", token=2)
    assert [u.name for u in await rig.engine.users(rig.channel, spec)] == ["admin"]
    assert "secret" not in str(await rig.control.documents("cluster"))


async def test_a_cluster_whose_nodes_are_all_gone_is_observed_and_not_an_error(rig: Rig) -> None:
    spec = await rig.cluster(1)
    await rig.control.kill(rig.lab.name("n1-1"))
    view = await rig.engine.observe(spec)
    assert (view.answered_by, view.unreachable, view.members) == (None, ("n1g1",), ())
    with pytest.raises(Transient):
        await rig.engine.put_database(rig.channel, spec, "x", None, token=1)
