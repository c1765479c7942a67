from __future__ import annotations

import asyncio
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from ccx.clouds.base import Direction, Firewall, Rule, ServerSpec, Tags, VolumeSpec
from ccx.clouds.local.place import FIRST_NODE, LAST_NODE, Place
from ccx.clouds.local.records import FirewallRecord, ServerRecord, Store, VolumeRecord, Wanted
from ccx.errors import Invalid

TAGS = Tags("test", "abc", 7, "user:1")
SPEC = ServerSpec("s", "s.abc.test", "tiny", "local", "v", "fw", "#cloud-config\n")


def filled(file: Path) -> Store:
    store = Store(file)
    store.records.servers["s"] = ServerRecord(SPEC, TAGS, 256, 1, 2, "/images/x", "boot", Wanted.STOPPED)
    store.records.volumes["v"] = VolumeRecord(VolumeSpec("v", 10, "ssd", "local"), TAGS)
    rules = (Rule(Direction.INGRESS, "tcp", 22, "self"), Rule(Direction.EGRESS, "udp", 53, "10.0.0.1/32"))
    store.records.firewalls["fw"] = FirewallRecord(Firewall("fw", rules), TAGS)
    store.records.tokens["abc"] = 7
    store.records.names["abc"] = {"p.abc.test": ["10.0.0.1"]}
    return store


async def test_what_was_saved_is_what_a_new_process_reads(tmp_path: Path) -> None:
    store = filled(tmp_path / "state.json")
    await store.save()
    assert Store(tmp_path / "state.json").records == store.records


async def test_each_of_many_saves_at_once_returns_with_its_own_change_on_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.json")

    async def change(number: int) -> bool:
        store.records.tokens[f"ds{number}"] = number
        await store.save()
        return Store(tmp_path / "state.json").records.tokens[f"ds{number}"] == number

    assert all(await asyncio.gather(*(change(number) for number in range(20))))


async def test_the_records_are_readable_by_root_alone_as_user_data_holds_a_token(tmp_path: Path) -> None:
    await filled(tmp_path / "state.json").save()
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


def test_a_volume_knows_its_server(tmp_path: Path) -> None:
    assert filled(tmp_path / "state.json").records.volume("v").attached_to == "s"


def test_an_instances_addresses_do_not_meet() -> None:
    place = Place("test", IPv4Network("10.230.16.0/20"))
    nodes = {place.node(FIRST_NODE), place.node(LAST_NODE)}
    everybody = {place.router, place.control, place.host, *nodes}
    assert len(everybody) == 5
    assert all(address in place.subnet for address in everybody)
    assert place.subnet.broadcast_address not in nodes


def test_link_names_fit_the_kernel_and_differ_by_instance() -> None:
    links = {Place(name, IPv4Network("10.230.16.0/20")).host_link for name in ("a", "a-very-long-name")}
    assert len(links) == 2
    assert all(len(link) <= 15 for link in links)


def test_a_name_whose_namespace_would_be_anothers_router_is_refused() -> None:
    with pytest.raises(Invalid):
        Place("demo-cloud", IPv4Network("10.230.16.0/20"))


def test_a_network_of_another_size_is_refused() -> None:
    with pytest.raises(Invalid, match="is no /20"):
        Place("demo", IPv4Network("10.230.16.0/24"))
