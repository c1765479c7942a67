"""The local cloud on this machine's kernel: real machines, real packets."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest
from tests.cloud_conformance import CloudConformance, CloudUnderTest
from tests.e2e.local_daemon import (
    BOOTS_WITHIN,
    USER_DATA,
    Daemon,
    Store,
    connects,
    egress,
    eventually,
    ingress,
    inside,
    running,
    traces,
)

from ccx.clouds.base import CloudEvent, Demand, NoCapacity, ServerState, Unavailable
from ccx.clouds.local.cgroups import Group
from ccx.clouds.local.processes import find_init
from ccx.clouds.local.teardown import teardown
from ccx.clouds.local.volumes import loop_devices
from ccx.dns.dnsmasq import DnsmasqWriter
from ccx.ids import new_short_id


@pytest.fixture(scope="module")
async def daemon() -> AsyncIterator[Daemon]:
    async with running() as daemon:
        yield daemon


@pytest.fixture
async def store(daemon: Daemon) -> AsyncIterator[Store]:
    """A datastore of this test's own whose nodes the host may reach by SSH."""
    store = Store(daemon, new_short_id())
    await store.allow(ingress(22, f"{daemon.place.host}/32"))
    yield store
    await store.delete()


async def until_ssh(address: str | None) -> None:
    await eventually(lambda: connects(address, 22), BOOTS_WITHIN, f"{address} answers SSH")


class TestConformance(CloudConformance):
    @pytest.fixture(scope="class")
    @classmethod
    async def cloud_under_test(cls, daemon: Daemon) -> CloudUnderTest:
        return CloudUnderTest(
            cloud=daemon.cloud,
            instance=daemon.place.instance,
            instance_type="tiny",
            region="local",
            volume_type="ssd",
            user_data=USER_DATA,
            impossible=Demand("huge", cpu=1, ram=1, volume_size=1_000_000, region="local"),
            volume_size=1,
            boots_within=BOOTS_WITHIN,
        )


async def test_three_machines_boot_at_once_and_finish_cloud_init(store: Store) -> None:
    names = ("n1", "n2", "n3")
    servers = await asyncio.gather(*(store.boot(name) for name in names))

    await asyncio.gather(*(until_ssh(server.private_ip) for server in servers))

    for name in names:
        await eventually(lambda name=name: cloud_init_is_done(store, name), BOOTS_WITHIN, "cloud-init is done")  # type: ignore[misc]
        facts = await inside(
            store.daemon, store.name(name), "sh", "-c", "hostname; findmnt -n -o FSTYPE /var/lib/ccx-data"
        )
        assert facts.stdout.split() == [name, "ext4"]


async def cloud_init_is_done(store: Store, what: str) -> bool:
    status = await inside(store.daemon, store.name(what), "cloud-init", "status")
    return status.stdout.strip() == "status: done"


async def test_a_volume_keeps_its_data_and_a_machine_its_address_when_it_is_replaced_or_restarted(store: Store) -> None:
    server = await store.boot("n1")
    await inside(store.daemon, store.name("n1"), "sh", "-c", "echo kept > /var/lib/ccx-data/file; sync")

    await store.cloud.power_off(store.name("n1"), store.tags())
    await store.cloud.power_on(store.name("n1"), store.tags())
    await until_ssh(server.private_ip)

    assert await store.cloud.get_server(store.name("n1")) == server
    assert (await inside(store.daemon, store.name("n1"), "cat", "/var/lib/ccx-data/file")).stdout == "kept\n"

    await store.cloud.delete_server(store.name("n1"), store.tags())
    await store.cloud.create_server(store.spec("n1"), store.tags())
    assert (await inside(store.daemon, store.name("n1"), "cat", "/var/lib/ccx-data/file")).stdout == "kept\n"


async def test_a_volume_goes_past_the_machines_page_cache_and_its_device_ends_with_the_server(store: Store) -> None:
    await store.boot("n1")
    image = store.daemon.place.volumes / f"{store.name('n1-data')}.img"
    (device,) = loop_devices(image)
    assert Path("/sys/block", Path(device).name, "loop/dio").read_text().strip() == "1", "a commit waits for reads"
    await store.cloud.delete_server(store.name("n1"), store.tags())
    assert loop_devices(image) == []


async def test_a_killed_machine_is_reported_within_half_a_second_and_its_peers_are_told_at_once(store: Store) -> None:
    server = await store.boot("n1")
    await until_ssh(server.private_ip)
    seen: asyncio.Queue[CloudEvent] = asyncio.Queue()

    async def listen() -> None:
        async for event in store.cloud.events():
            await seen.put(event)

    listener = asyncio.create_task(listen())
    try:
        await eventually(lambda: standing(store, seen), 10, "the stream stands")
        init = find_init(Group(store.daemon.place.instance, store.name("n1")).processes())
        assert init is not None
        killed = time.time()
        os.kill(init, signal.SIGKILL)
        async with asyncio.timeout(5):
            while (event := await seen.get()).server != store.name("n1") or event.state is not ServerState.STOPPED:
                pass
    finally:
        listener.cancel()

    assert event.at - killed < 0.5
    await eventually(lambda: refused(server.private_ip), 2, "a connection to it is refused, not left waiting")


async def standing(store: Store, seen: asyncio.Queue[CloudEvent]) -> bool:
    """Another machine's start is noticed when the subscription is in force."""
    await store.boot("probe")
    await store.cloud.power_off(store.name("probe"), store.tags())
    await store.cloud.power_on(store.name("probe"), store.tags())
    return not seen.empty()


async def refused(address: str | None) -> bool:
    try:
        async with asyncio.timeout(1):
            await asyncio.open_connection(address, 22)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    return False


async def test_a_cut_network_drops_everything_until_it_is_healed_while_the_machine_lives(store: Store) -> None:
    server = await store.boot("n1")
    await until_ssh(server.private_ip)

    await store.cloud.cut(store.name("n1"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.open_connection(server.private_ip, 22), 1)
    assert await store.state("n1") is ServerState.RUNNING
    assert (await store.cloud.denied())["cut"] > 0

    await store.cloud.heal(store.name("n1"))
    await eventually(lambda: connects(server.private_ip, 22), 5, "SSH answers again")


async def test_a_firewall_denies_all_but_its_rules_and_cuts_flows_that_it_no_longer_allows(store: Store) -> None:
    server = await store.boot("n1")
    await until_ssh(server.private_ip)
    reader, writer = await asyncio.open_connection(server.private_ip, 22)
    assert (await reader.readline()).startswith(b"SSH-2.0")
    before = (await store.cloud.denied())[store.name("fw")]

    await store.allow()

    writer.write(b"SSH-2.0-test\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(1), 1)  # an answer would be the server's key exchange
    assert not await connects(server.private_ip, 22)
    assert (await store.cloud.denied())[store.name("fw")] > before

    await store.allow(ingress(22, f"{store.daemon.place.host}/32"))
    await eventually(lambda: connects(server.private_ip, 22), 5, "SSH answers again")
    writer.close()


async def test_nodes_reach_each_other_only_by_rules_on_both_sides(store: Store) -> None:
    host = f"{store.daemon.place.host}/32"
    one, two = await asyncio.gather(store.boot("n1"), store.boot("n2"))
    await asyncio.gather(until_ssh(one.private_ip), until_ssh(two.private_ip))
    probe = ("timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{two.private_ip}/22")

    async def reaches() -> bool:
        return (await inside(store.daemon, store.name("n1"), *probe)).returncode == 0

    assert not await reaches()
    await store.allow(ingress(22, host), ingress(22, "self"))
    assert not await reaches()
    await store.allow(ingress(22, host), egress(22, "self"))
    assert not await reaches()
    await store.allow(ingress(22, host), ingress(22, "self"), egress(22, "self"))
    assert await reaches()


async def test_a_node_asks_the_resolver_only_when_a_rule_says_so(store: Store) -> None:
    server = await store.boot("n1")
    await until_ssh(server.private_ip)
    resolver = store.daemon.place.router
    await DnsmasqWriter(store.daemon.place.socket).publish(store.short_id, {"p.local.test": ["192.0.2.7"]})
    lookup = ("timeout", "3", "getent", "hosts", "p.local.test")

    assert (await inside(store.daemon, store.name("n1"), *lookup)).returncode != 0
    await store.allow(egress(53, f"{resolver}/32", "udp"), egress(53, f"{resolver}/32"))
    assert "192.0.2.7" in (await inside(store.daemon, store.name("n1"), *lookup)).stdout


async def test_names_follow_what_is_published_and_end_at_once(daemon: Daemon) -> None:
    writer = DnsmasqWriter(daemon.place.socket)

    async def answer(name: str) -> tuple[str, set[str], int | None]:
        reply = await dns.asyncquery.udp(dns.message.make_query(name, "A"), str(daemon.place.router), timeout=2)
        addresses = {str(item) for records in reply.answer for item in records}
        return dns.rcode.to_text(reply.rcode()), addresses, next((r.ttl for r in reply.answer), None)

    async def answers(name: str, *expected: str) -> bool:
        code, addresses, ttl = await answer(name)
        return (code, addresses, ttl) == (("NOERROR", set(expected), 5) if expected else ("NXDOMAIN", set(), None))

    await writer.publish("abc", {"p.abc.test": ["192.0.2.1"], "r.abc.test": ["192.0.2.2", "192.0.2.3"]})
    await eventually(lambda: answers("p.abc.test", "192.0.2.1"), 2, "the primary's name leads to it")
    await eventually(lambda: answers("r.abc.test", "192.0.2.2", "192.0.2.3"), 2, "so do the replicas'")
    await writer.publish("abc", {"p.abc.test": ["192.0.2.9"]})
    await eventually(lambda: answers("p.abc.test", "192.0.2.9"), 2, "the name moved")
    await eventually(lambda: answers("r.abc.test"), 2, "a name left out is gone")
    await writer.publish("abc", {})
    await eventually(lambda: answers("p.abc.test"), 2, "all are gone")
    assert await answers("debian.org")


async def test_a_restarted_daemon_takes_over_machines_names_and_rules_and_knows_who_died_meanwhile(
    store: Store,
) -> None:
    daemon = store.daemon
    kept, lost = await asyncio.gather(store.boot("n1"), store.boot("n2"))
    await asyncio.gather(until_ssh(kept.private_ip), until_ssh(lost.private_ip))
    init = find_init(Group(daemon.place.instance, store.name("n1")).processes())

    daemon.kill()
    with pytest.raises(Unavailable):
        await store.state("n1")
    assert await connects(kept.private_ip, 22)
    died = find_init(Group(daemon.place.instance, store.name("n2")).processes())
    assert died is not None
    os.kill(died, signal.SIGKILL)
    await daemon.start()

    assert await store.state("n1") is ServerState.RUNNING
    assert await store.state("n2") is ServerState.STOPPED
    assert find_init(Group(daemon.place.instance, store.name("n1")).processes()) == init
    assert await connects(kept.private_ip, 22)
    await store.cloud.power_off(store.name("n1"), store.tags())
    assert await store.state("n1") is ServerState.STOPPED


@pytest.mark.parametrize("after", [0.02, 0.1, 0.25, 0.5], ids=lambda seconds: f"after {seconds} s")
async def test_a_daemon_killed_within_a_call_leaves_no_orphan_and_the_call_can_be_repeated(
    store: Store, after: float
) -> None:
    daemon, place = store.daemon, store.daemon.place

    async def killed_within(call: Awaitable[object]) -> None:
        calling = asyncio.ensure_future(call)
        await asyncio.wait({calling}, timeout=after)
        daemon.kill()
        await asyncio.gather(calling, return_exceptions=True)
        await daemon.start()

    await killed_within(store.boot("n1"))
    server = await store.boot("n1")
    await until_ssh(server.private_ip)
    await killed_within(store.cloud.delete_server(store.name("n1"), store.tags()))
    await store.cloud.delete_server(store.name("n1"), store.tags())

    found = await store.cloud.inventory(place.instance)
    assert [r.name for r in found if r.detail.startswith("orphan")] == []
    assert [r.kind for r in found if r.tags.datastore == store.short_id and r.kind in ("server", "address")] == []


async def test_what_does_not_fit_says_what_is_short_and_what_is_there(daemon: Daemon) -> None:
    large = Demand("1x1000", cpu=1, ram=1000, volume_size=1, region="local")
    with pytest.raises(NoCapacity, match=r"GiB of memory do not fit: .* of \d+ GiB, 4 times what this machine has"):
        await daemon.cloud.check_capacity([large] * 3)
    with pytest.raises(NoCapacity, match=r"a volume of 1000000 GiB does not fit: \d+ GiB are free"):
        await daemon.cloud.check_capacity([Demand("tiny", 1, 1, 1_000_000, "local")])


async def test_deleting_one_machine_removes_its_network_while_others_run(store: Store) -> None:
    await asyncio.gather(store.boot("n1"), store.boot("n2"))
    place = store.daemon.place

    await store.cloud.delete_server(store.name("n1"), store.tags())

    shown = await asyncio.create_subprocess_exec("ip", "-n", place.router_namespace, "-br", "link", stdout=-1)
    links = (await shown.communicate())[0].decode()
    assert sum(line.startswith("n") for line in links.splitlines()) == 1, links
    assert len([n for n in traces(place.instance, place.subnet)["namespaces"] if "." in n]) == 1


@pytest.mark.parametrize("alive", [True, False], ids=["daemon alive", "daemon dead"])
async def test_teardown_leaves_nothing(alive: bool) -> None:
    async with running() as daemon:
        store = Store(daemon, new_short_id())
        await store.allow(ingress(22, f"{daemon.place.host}/32"))
        await asyncio.gather(store.boot("n1"), store.boot("n2"))
        if not alive:
            daemon.kill()

        await teardown(daemon.place.instance)

        assert daemon.process is not None
        daemon.process.wait(timeout=10)
        left = traces(daemon.place.instance, daemon.place.subnet)
        assert left == {kind: [] for kind in left}


async def test_what_no_record_names_is_shown_as_an_orphan(daemon: Daemon) -> None:
    stray = daemon.place.volumes / "stray.img"
    stray.touch()
    try:
        found = [r for r in await daemon.cloud.inventory(daemon.place.instance) if r.detail.startswith("orphan")]
        assert [(r.name, r.tags.datastore) for r in found] == [("stray.img", "")]
    finally:
        stray.unlink()
