"""What every cloud driver has to prove. A driver's test module subclasses :class:`CloudConformance`, and that is all:

    class TestMyCloud(CloudConformance):
        @pytest.fixture(scope="class")
        @classmethod
        async def cloud_under_test(cls) -> AsyncIterator[CloudUnderTest]:
            yield CloudUnderTest(cloud=MyCloud(...), instance="conformance", ...)

One server is booted and shared by the tests of its life; every test leaves it running.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from ccx.clouds.base import (
    Cloud,
    CloudEvent,
    Demand,
    Direction,
    Firewall,
    NameTaken,
    NoCapacity,
    QuotaExceeded,
    Resource,
    ResourceKind,
    Rule,
    Server,
    ServerSpec,
    ServerState,
    StaleToken,
    Tags,
    VolumeSpec,
)
from ccx.errors import CcxError
from ccx.ids import new_short_id

# A cloud that lives on after the tests must not take a second run's claims for older than the first's.
_TOKENS = itertools.count(1000)


@dataclass(frozen=True)
class CloudUnderTest:
    """A driver, and what it takes to make something small on its cloud."""

    cloud: Cloud
    instance: str
    """Nothing else may use this name: what is left of it is removed at the end."""
    instance_type: str
    region: str
    volume_type: str
    user_data: str
    impossible: Demand
    """What this cloud can't hold."""
    image: str = "baked"
    zone: str = ""
    volume_size: int = 10
    boots_within: float = 60
    """Seconds."""


@dataclass
class Lab:
    """One datastore's resources on the cloud under test, named so that runs and tests don't meet."""

    under_test: CloudUnderTest
    datastore: str = field(default_factory=new_short_id)

    @property
    def cloud(self) -> Cloud:
        return self.under_test.cloud

    def name(self, what: str) -> str:
        return f"ccx-{self.under_test.instance}-{self.datastore}-{what}"

    def tags(self, token: int | None = None) -> Tags:
        """With the newest claim, unless told otherwise."""
        return Tags(self.under_test.instance, self.datastore, next(_TOKENS) if token is None else token, "user:tester")

    def volume(self, what: str = "data") -> VolumeSpec:
        u = self.under_test
        return VolumeSpec(self.name(what), u.volume_size, u.volume_type, u.region, u.zone)

    def firewall(self, *ports: int) -> Firewall:
        rules = tuple(Rule(Direction.INGRESS, "tcp", port, "192.0.2.0/24") for port in ports)
        return Firewall(self.name("fw"), rules)

    def server(self, what: str = "n1-1", volume: str = "data") -> ServerSpec:
        u = self.under_test
        return ServerSpec(
            name=self.name(what),
            hostname=f"{what}.{self.datastore}.conformance.test",
            instance_type=u.instance_type,
            region=u.region,
            volume=self.name(volume),
            firewall=self.name("fw"),
            user_data=u.user_data,
            image=u.image,
            zone=u.zone,
        )

    async def make_server(self, what: str = "n1-1", volume: str = "data") -> Server:
        """With its volume and firewall."""
        tags = self.tags()
        await self.cloud.create_volume(self.volume(volume), tags)
        await self.cloud.put_firewall(self.firewall(22), tags)
        return await self.cloud.create_server(self.server(what, volume), tags)

    async def state(self, what: str = "n1-1") -> ServerState | None:
        server = await self.cloud.get_server(self.name(what))
        return server.state if server else None

    async def until_running(self, what: str = "n1-1") -> None:
        async def running() -> bool:
            return await self.state(what) is ServerState.RUNNING

        await eventually(running, self.under_test.boots_within)

    async def inventory(self) -> dict[tuple[ResourceKind, str], Resource]:
        """This datastore's, without addresses: they come and go with servers."""
        found = await self.cloud.inventory(self.under_test.instance)
        mine = [r for r in found if r.tags.datastore == self.datastore and r.kind is not ResourceKind.ADDRESS]
        assert len({(r.kind, r.name) for r in mine}) == len(mine), f"something is doubled: {mine}"
        return {(r.kind, r.name): r for r in mine}

    async def clean(self) -> None:
        tags = self.tags()
        mine = await self.inventory()
        for kind, delete in (
            (ResourceKind.SERVER, self.cloud.delete_server),
            (ResourceKind.VOLUME, self.cloud.delete_volume),
            (ResourceKind.FIREWALL, self.cloud.delete_firewall),
        ):
            for name in [name for found, name in mine if found is kind]:
                await delete(name, tags)
        assert await self.inventory() == {}


async def eventually(condition: Callable[[], Awaitable[bool]], within: float) -> None:
    """Polls until the condition holds. Fails after ``within`` seconds."""
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.02)


Mutation = Callable[[Lab, Tags], Awaitable[object]]

MUTATIONS: dict[str, Mutation] = {
    "create_volume": lambda lab, tags: lab.cloud.create_volume(lab.volume("late"), tags),
    "delete_volume": lambda lab, tags: lab.cloud.delete_volume(lab.name("spare"), tags),
    "create_server": lambda lab, tags: lab.cloud.create_server(lab.server("late", "spare"), tags),
    "delete_server": lambda lab, tags: lab.cloud.delete_server(lab.name("n1-1"), tags),
    "power_off": lambda lab, tags: lab.cloud.power_off(lab.name("n1-1"), tags),
    "power_on": lambda lab, tags: lab.cloud.power_on(lab.name("n1-1"), tags),
    "put_firewall": lambda lab, tags: lab.cloud.put_firewall(lab.firewall(1, 2, 3), tags),
    "delete_firewall": lambda lab, tags: lab.cloud.delete_firewall(lab.name("spare-fw"), tags),
}


class CloudConformance:
    """The duties of :class:`ccx.clouds.base.Cloud` that types can't express."""

    @pytest.fixture(scope="class")
    @classmethod
    async def cloud_under_test(cls) -> CloudUnderTest:
        raise NotImplementedError("a driver's test class says what is tested")

    @pytest.fixture
    async def lab(self, cloud_under_test: CloudUnderTest) -> AsyncIterator[Lab]:
        """A datastore of this test's own."""
        lab = Lab(cloud_under_test)
        yield lab
        await lab.clean()

    @pytest.fixture(scope="class")
    @classmethod
    async def shared(cls, cloud_under_test: CloudUnderTest) -> AsyncIterator[Lab]:
        """A datastore with one running server ``n1-1``, a volume ``spare`` and a firewall ``spare-fw``."""
        lab = Lab(cloud_under_test)
        await lab.make_server()
        await lab.cloud.create_volume(lab.volume("spare"), lab.tags())
        await lab.cloud.put_firewall(Firewall(lab.name("spare-fw")), lab.tags())
        await lab.until_running()
        yield lab
        await lab.clean()

    async def test_what_is_absent_reads_as_none_and_can_be_deleted(self, lab: Lab) -> None:
        assert await lab.cloud.get_server(lab.name("never")) is None
        await lab.cloud.delete_server(lab.name("never"), lab.tags())
        await lab.cloud.delete_volume(lab.name("never"), lab.tags())
        await lab.cloud.delete_firewall(lab.name("never"), lab.tags())
        assert await lab.inventory() == {}

    async def test_an_absent_server_counts_as_powered_off(self, lab: Lab) -> None:
        await lab.cloud.power_off(lab.name("never"), lab.tags())
        assert await lab.cloud.get_server(lab.name("never")) is None

    async def test_creating_a_volume_again_returns_the_one_that_exists(self, lab: Lab) -> None:
        first = await lab.cloud.create_volume(lab.volume(), lab.tags())
        assert await lab.cloud.create_volume(lab.volume(), lab.tags()) == first
        assert (first.name, first.size, first.attached_to) == (lab.name("data"), lab.under_test.volume_size, None)
        assert set(await lab.inventory()) == {(ResourceKind.VOLUME, lab.name("data"))}

    async def test_the_same_volume_asked_for_at_once_is_made_once(self, lab: Lab) -> None:
        tags = lab.tags()
        made = await asyncio.gather(*(lab.cloud.create_volume(lab.volume(), tags) for _ in range(5)))
        assert len(set(made)) == 1
        assert set(await lab.inventory()) == {(ResourceKind.VOLUME, lab.name("data"))}

    async def test_a_volume_of_another_size_under_the_same_name_is_refused(self, lab: Lab) -> None:
        await lab.cloud.create_volume(lab.volume(), lab.tags())
        with pytest.raises(NameTaken):
            await lab.cloud.create_volume(replace(lab.volume(), size=lab.under_test.volume_size + 1), lab.tags())

    async def test_deleting_a_volume_twice_succeeds(self, lab: Lab) -> None:
        await lab.cloud.create_volume(lab.volume(), lab.tags())
        await lab.cloud.delete_volume(lab.name("data"), lab.tags())
        await lab.cloud.delete_volume(lab.name("data"), lab.tags())
        assert await lab.inventory() == {}

    async def test_a_firewall_can_be_put_again_and_again_and_deleted_twice(self, lab: Lab) -> None:
        for ports in ((22,), (22,), (22, 5432), ()):
            await lab.cloud.put_firewall(lab.firewall(*ports), lab.tags())
        assert set(await lab.inventory()) == {(ResourceKind.FIREWALL, lab.name("fw"))}
        await lab.cloud.delete_firewall(lab.name("fw"), lab.tags())
        await lab.cloud.delete_firewall(lab.name("fw"), lab.tags())
        assert await lab.inventory() == {}

    async def test_creating_a_server_again_returns_the_one_that_exists(self, shared: Lab) -> None:
        before = await shared.cloud.get_server(shared.name("n1-1"))
        again = await shared.cloud.create_server(shared.server(), shared.tags())
        assert before is not None
        assert (again.name, again.private_ip) == (before.name, before.private_ip)
        assert again.private_ip
        await shared.inventory()

    async def test_the_same_server_asked_for_at_once_is_made_once(self, lab: Lab) -> None:
        tags = lab.tags()
        await lab.cloud.create_volume(lab.volume(), tags)
        await lab.cloud.put_firewall(lab.firewall(22), tags)
        made = await asyncio.gather(*(lab.cloud.create_server(lab.server(), tags) for _ in range(3)))
        assert len({server.private_ip for server in made}) == 1
        assert (ResourceKind.SERVER, lab.name("n1-1")) in await lab.inventory()

    async def test_a_new_enrolment_token_does_not_make_it_another_server(self, shared: Lab) -> None:
        """A job that is resumed may have renewed it meanwhile."""
        renewed = replace(shared.server(), user_data=shared.under_test.user_data + "\n# renewed\n")
        assert (await shared.cloud.create_server(renewed, shared.tags())).name == shared.name("n1-1")

    async def test_a_server_with_another_volume_under_the_same_name_is_refused(self, shared: Lab) -> None:
        with pytest.raises(NameTaken):
            await shared.cloud.create_server(shared.server("n1-1", "spare"), shared.tags())

    async def test_a_server_that_keeps_nothing_needs_no_volume(self, lab: Lab) -> None:
        tags = lab.tags()
        await lab.cloud.put_firewall(lab.firewall(22), tags)
        bare = replace(lab.server(), volume="")
        made = [await lab.cloud.create_server(bare, tags) for _ in range(2)]
        assert made[0].private_ip == made[1].private_ip
        await lab.until_running()
        assert set(await lab.inventory()) == {
            (ResourceKind.SERVER, lab.name("n1-1")), (ResourceKind.FIREWALL, lab.name("fw"))
        }  # fmt: skip
        await lab.cloud.delete_server(bare.name, tags)
        await lab.cloud.delete_firewall(lab.name("fw"), tags)
        assert await lab.inventory() == {}

    async def test_an_attached_volume_is_not_deleted(self, shared: Lab) -> None:
        with pytest.raises(CcxError) as refused:
            await shared.cloud.delete_volume(shared.name("data"), shared.tags())
        assert refused.value.status == 409
        assert (ResourceKind.VOLUME, shared.name("data")) in await shared.inventory()

    async def test_a_firewall_with_members_is_not_deleted(self, shared: Lab) -> None:
        with pytest.raises(CcxError) as refused:
            await shared.cloud.delete_firewall(shared.name("fw"), shared.tags())
        assert refused.value.status == 409
        assert (ResourceKind.FIREWALL, shared.name("fw")) in await shared.inventory()

    async def test_power_off_returns_when_the_machine_is_off_and_may_be_repeated(self, shared: Lab) -> None:
        await shared.cloud.power_off(shared.name("n1-1"), shared.tags())
        assert await shared.state() is ServerState.STOPPED
        await shared.cloud.power_off(shared.name("n1-1"), shared.tags())
        assert await shared.state() is ServerState.STOPPED
        await shared.cloud.power_on(shared.name("n1-1"), shared.tags())
        await shared.until_running()

    async def test_a_server_keeps_its_address_and_volume_over_off_and_on(self, shared: Lab) -> None:
        before = await shared.cloud.get_server(shared.name("n1-1"))
        await shared.cloud.power_off(shared.name("n1-1"), shared.tags())
        for _ in range(2):
            await shared.cloud.power_on(shared.name("n1-1"), shared.tags())
        await shared.until_running()
        assert await shared.cloud.get_server(shared.name("n1-1")) == before
        volume = await shared.cloud.create_volume(shared.volume(), shared.tags())
        assert volume.attached_to == shared.name("n1-1")

    async def test_stops_and_starts_are_reported_as_they_happen(self, shared: Lab) -> None:
        seen: list[CloudEvent] = []
        wanted = shared.name("n1-1")

        async def listen() -> None:
            async for event in shared.cloud.events():
                if event.server == wanted:
                    seen.append(event)

        listener = asyncio.create_task(listen())
        try:
            # Nothing tells when the subscription stands, so the machine is turned off and on until it is noticed.
            async with asyncio.timeout(2 * shared.under_test.boots_within):
                while {e.state for e in seen} < {ServerState.STOPPED, ServerState.RUNNING}:
                    if listener.done() and not seen:
                        pytest.skip("this cloud does not report state changes")
                    await shared.cloud.power_off(wanted, shared.tags())
                    await shared.cloud.power_on(wanted, shared.tags())
                    await shared.until_running()
                    await asyncio.sleep(0.1)
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener
        moments = [event.at for event in seen]
        assert moments == sorted(moments)

    async def test_a_deleted_server_is_gone_at_once_and_its_volume_stays(self, lab: Lab) -> None:
        await lab.make_server()
        await lab.cloud.delete_server(lab.name("n1-1"), lab.tags())
        assert await lab.cloud.get_server(lab.name("n1-1")) is None
        assert set(await lab.inventory()) == {
            (ResourceKind.VOLUME, lab.name("data")),
            (ResourceKind.FIREWALL, lab.name("fw")),
        }
        assert (await lab.cloud.create_volume(lab.volume(), lab.tags())).attached_to is None
        await lab.cloud.delete_server(lab.name("n1-1"), lab.tags())

    @pytest.mark.parametrize("call", MUTATIONS)
    async def test_a_claim_that_was_lost_changes_nothing(self, shared: Lab, call: str) -> None:
        newest = shared.tags()
        await shared.cloud.put_firewall(shared.firewall(22), newest)
        before = await shared.inventory()
        with pytest.raises(StaleToken):
            await MUTATIONS[call](shared, shared.tags(newest.token - 1))
        assert set(await shared.inventory()) == set(before)
        assert await shared.state() is ServerState.RUNNING

    async def test_the_same_claim_may_go_on_changing_things(self, lab: Lab) -> None:
        tags = lab.tags()
        await lab.cloud.create_volume(lab.volume(), tags)
        await lab.cloud.put_firewall(lab.firewall(22), tags)
        await lab.cloud.delete_volume(lab.name("data"), tags)
        assert set(await lab.inventory()) == {(ResourceKind.FIREWALL, lab.name("fw"))}

    async def test_claims_of_other_datastores_do_not_matter(self, lab: Lab, shared: Lab) -> None:
        older = lab.tags()
        await shared.cloud.put_firewall(shared.firewall(22), shared.tags())
        await lab.cloud.create_volume(lab.volume(), older)
        assert set(await lab.inventory()) == {(ResourceKind.VOLUME, lab.name("data"))}

    async def test_the_inventory_names_everything_with_its_owner(self, shared: Lab) -> None:
        found = await shared.inventory()
        assert set(found) == {
            (ResourceKind.SERVER, shared.name("n1-1")),
            (ResourceKind.VOLUME, shared.name("data")),
            (ResourceKind.VOLUME, shared.name("spare")),
            (ResourceKind.FIREWALL, shared.name("fw")),
            (ResourceKind.FIREWALL, shared.name("spare-fw")),
        }
        assert {r.tags.instance for r in found.values()} == {shared.under_test.instance}
        assert {r.tags.owner for r in found.values()} == {"user:tester"}

    async def test_the_inventory_of_another_installation_is_not_ours(self, shared: Lab) -> None:
        found = await shared.cloud.inventory(f"{shared.under_test.instance}-other")
        assert [r for r in found if r.tags.datastore == shared.datastore] == []

    async def test_what_does_not_fit_is_refused_before_anything_is_made(self, lab: Lab) -> None:
        with pytest.raises((NoCapacity, QuotaExceeded)) as refused:
            await lab.cloud.check_capacity([lab.under_test.impossible])
        assert refused.value.remedy or refused.value.err
        assert await lab.inventory() == {}

    async def test_what_fits_is_not_refused(self, lab: Lab) -> None:
        small = replace(lab.under_test.impossible, cpu=1, ram=1, volume_size=lab.under_test.volume_size)
        await lab.cloud.check_capacity([small])
