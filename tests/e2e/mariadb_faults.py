"""What is done to MariaDB's nodes, replicas or Galera, and what must hold afterwards whatever it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

import pymysql
from tests.e2e.machine import eventually, run
from tests.e2e.mariadb_writer import Parameters, Watch, Writer, parameters, select
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store

from ccx.clouds.local.cgroups import Group
from ccx.settings import load

Node = dict[str, Any]
"""As the API describes it."""

DATA = "/var/lib/ccx-data/mysql"
BALLAST = 150
"""Rows, of 1.6 MB each."""

BACK_WITHIN = 120.0
"""Seconds until writes go on after what stopped all of them is over."""

_FILLER = "/var/lib/ccx-data/filler"


async def ask(node: Parameters, statement: str) -> list[tuple[Any, ...]]:
    return await asyncio.to_thread(select, node, statement)


async def answers(node: Parameters) -> bool:
    try:
        return bool(await ask(node, "select 1"))
    except (pymysql.MySQLError, OSError):
        return False


async def primary_of(store: Store, **changed: Any) -> Parameters:
    """Of whichever node accepts writes."""
    host = (await store.primary())["hostname"]
    return next(node for node in parameters(await store.connection(), **changed) if node["host"] == host)


async def replica_of(store: Store) -> Node:
    """The first that accepts none."""
    return next(node for node in await store.nodes() if node["role"] == "replica")


@asynccontextmanager
async def written_to(store: Store, *, by_word: bool = True) -> AsyncIterator[Writer]:
    """Somebody writes all the time, to nodes that are all there; afterwards nothing is lost, and one node took it.

    ``by_word``: at no time did two nodes so much as say that they accept writes.
    """
    await store.until_started(REPAIRED_WITHIN)
    nodes = parameters(await store.connection())
    writer, watch = Writer(nodes), Watch(nodes)
    await asyncio.to_thread(writer.make_table)
    with watch.running(), writer.running():
        await acknowledges(writer, 100, 30)
        yield writer
    assert await asyncio.to_thread(writer.lost, await primary_of(store)) == []
    assert not by_word or watch.overlapping_primaries() == []
    print(f"gap in writes: {writer.gap():.1f} s; {len(writer.acknowledged)} acknowledged, none lost")


async def acknowledges(writer: Writer, more: int, within: float) -> None:
    since = time.monotonic()
    await eventually(lambda: writer.since(since) >= more, within, what=f"{more} more writes are acknowledged")


async def replaced(store: Store, gone: Node) -> None:
    async def without() -> bool:
        return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]

    await eventually(without, REPAIRED_WITHIN, every=0.5, what=f"{gone['label']} is replaced")
    await store.until_started(REPAIRED_WITHIN)


async def copies_in_place_of(store: Store, local: LocalSide, gone: Node) -> bool:
    """Whether the node that takes its place is being given its copy."""
    place = gone["label"].split("g")[0]
    for node in await store.nodes():
        if node["label"].split("g")[0] == place and node["host_uuid"] != gone["host_uuid"] and node["private_ip"]:
            with suppress(AssertionError):  # its machine is not up yet
                return "y" in await inside(local, node, f"test -e {DATA}/data.new && echo y || true")
    return False


async def inside(local: LocalSide, node: Node, command: str) -> str:
    """What a shell says, as the node's root."""
    init = str(await local.init_of(node["private_ip"]))
    return (await run("nsenter", "-t", init, "-a", "sh", "-euc", command)).stdout


async def root_asks(local: LocalSide, node: Node, statement: str) -> str:
    """What the node's server answers to who may do everything: an operator's mistakes are made by it."""
    words = "runuser -u mysql -- mariadb --no-defaults --socket=/run/ccx-mariadb/mysqld.sock --user=mysql -N -B"
    return (await inside(local, node, f'{words} -e "{statement}"')).strip()


async def ballast(store: Store) -> None:
    """So much that a copy of it takes a while."""
    node = {**await primary_of(store), "read_timeout": 60}
    await ask(node, "drop table if exists ballast")
    await ask(node, "create table ballast (n int primary key, filler longblob)")
    for number in range(BALLAST):
        await ask(node, f"insert into ballast select {number}, repeat(md5(rand()), 50000)")


@asynccontextmanager
async def frozen(store: Store, *nodes: Node) -> AsyncIterator[None]:
    """Meanwhile no process on these machines runs. Their kernels live: who connects is not refused, and waits."""
    switches = [await _freezer(store, node) / "cgroup.freeze" for node in nodes]
    try:
        for switch in switches:
            switch.write_text("1")
        yield
    finally:
        for switch in switches:
            switch.write_text("0")


async def _freezer(store: Store, node: Node) -> Any:
    installed = store.tenant.installed
    [(server,)] = await installed.query("select server from stores.node where id = %s", [node["host_uuid"]])
    return Group(installed.instance, server).path


@asynccontextmanager
async def cut(local: LocalSide, *nodes: Node) -> AsyncIterator[None]:
    """Meanwhile no packet passes to these machines or from them."""
    try:
        for node in nodes:
            await local.cloud.cut(node["hostname"])
        yield
    finally:
        for node in nodes:
            await local.cloud.heal(node["hostname"])


@asynccontextmanager
async def full(local: LocalSide, node: Node) -> AsyncIterator[None]:
    """Meanwhile there is no byte left on the node's volume."""
    free = f"$(df --output=avail -B1 {_FILLER.rpartition('/')[0]} | tail -1)"
    # Nearly all of it without writing anything, and then what is left.
    await inside(local, node, f"fallocate -l $(({free} - 8388608)) {_FILLER}; cat /dev/zero >> {_FILLER} || true")
    try:
        yield
    finally:
        await inside(local, node, f"rm {_FILLER}")


async def is_said(store: Store, *words: str, within: float = 60) -> None:
    """Returns when the datastore's status has these words."""

    async def said() -> bool:
        _, why = await store.status()
        return all(word in why for word in words)

    try:
        await eventually(said, within, every=0.3, what=f"the status says {' '.join(words)!r}")
    except AssertionError as late:
        raise AssertionError(f"{late}; {await store.status()}") from None


async def survives_a_frozen_primary(store: Store, seconds: float, within: float) -> None:
    """Writes go on elsewhere; thawed, it acknowledges nothing any more, though somebody still writes to it."""
    # A server that thaws says what it was, until its keeper runs again. What counts is what it acknowledges.
    async with written_to(store, by_word=False) as writer:
        gone, now = await store.primary(), await primary_of(store)
        # A client that knows no other node: what it sent is under way when the machine freezes, and when it thaws.
        stubborn = Writer([now], table="stubborn")
        await asyncio.to_thread(stubborn.make_table)
        with stubborn.running():
            await acknowledges(stubborn, 20, 30)
            async with frozen(store, gone):
                began = time.monotonic()
                await acknowledges(writer, 100, within)
                elsewhere = next(at for _, at, node in writer.acknowledged if at > began)
                await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
            await acknowledges(writer, 100, within)
            await store.until_started(REPAIRED_WITHIN)
        assert [number for number, at, _ in stubborn.acknowledged if at > elsewhere] == []
        assert await asyncio.to_thread(stubborn.lost, await primary_of(store)) == []
    assert writer.gap() < within


@asynccontextmanager
async def store_away(local: LocalSide) -> AsyncIterator[None]:
    """Meanwhile nodes get no answer from the object store: what they send or fetch goes no further."""
    cloud = load(local.installed.instance, {}).cloud("local")
    assert cloud is not None
    port = cloud.s3_endpoint.rpartition(":")[2]
    async with local.dropping(f"tcp dport {port}", f"tcp sport {port}"):
        yield


class Faults:
    """What datastores of three nodes bear alike, whoever decides who accepts writes. Fixture ``store``: one of them."""

    gap_within: ClassVar[float]
    """Seconds without writes that are enough on a busy machine."""
    frozen_for: ClassVar[float]
    """Seconds after which the others no longer wait for a node that is silent."""
    away_for: ClassVar[float]
    """The same, where nobody is left to go on without the silent ones."""

    async def test_a_frozen_primary_is_followed_and_acknowledges_nothing_when_it_thaws(self, store: Store) -> None:
        await survives_a_frozen_primary(store, self.frozen_for, self.gap_within)

    async def test_another_that_is_frozen_hardly_stops_the_writes_and_comes_back(self, store: Store) -> None:
        async with written_to(store) as writer:
            async with frozen(store, await replica_of(store)):
                await acknowledges(writer, 300, 60)
            await store.until_started(REPAIRED_WITHIN)
        assert writer.gap() < self.gap_within

    async def test_all_frozen_at_once_go_on_when_they_thaw(self, store: Store) -> None:
        async with written_to(store) as writer:
            async with frozen(store, *await store.nodes()):
                await asyncio.sleep(self.away_for)
            await acknowledges(writer, 100, BACK_WITHIN)

    async def test_each_cut_off_for_a_while_comes_back_without_being_replaced(
        self, store: Store, local: LocalSide
    ) -> None:
        before = {node["host_uuid"] for node in await store.nodes()}
        async with written_to(store) as writer:
            for label in sorted(node["label"] for node in await store.nodes() if node["role"] == "replica"):
                async with cut(local, *[node for node in await store.nodes() if node["label"] == label]):
                    await acknowledges(writer, 300, 60)
                await store.until_started(REPAIRED_WITHIN)
        assert {node["host_uuid"] for node in await store.nodes()} == before
        assert writer.gap() < self.gap_within

    async def test_all_cut_off_at_once_go_on_when_they_are_back(self, store: Store, local: LocalSide) -> None:
        async with written_to(store) as writer:
            async with cut(local, *await store.nodes()):
                await asyncio.sleep(self.away_for)
            await acknowledges(writer, 100, REPAIRED_WITHIN)

    async def test_a_full_volume_of_the_primary_is_named_and_writes_go_on_when_there_is_room(
        self, store: Store, local: LocalSide
    ) -> None:
        async with written_to(store) as writer:
            primary = await store.primary()
            async with full(local, primary):
                await is_said(store, primary["label"], "volume", "full")
            await acknowledges(writer, 100, BACK_WITHIN)
            await store.until_started(REPAIRED_WITHIN)
