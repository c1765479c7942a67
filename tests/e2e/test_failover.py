"""The primary is lost in every way that there is, under a client that writes all the time.

Each time: no acknowledged write is lost, at no moment do two primaries accept writes, the status says what is true, and
the lost machine is replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant

from ccx.clouds.base import CloudEvent, ServerState
from ccx.demo import Writer

GAP_WITHIN = 30.0
"""Seconds without writes. A quiet machine needs under 8; this bound is for one that other tests share."""
ALONE_WITHIN = 60.0
"""The same where Patroni is on its own: its lease has to run out."""


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    return await tenant.create("orders", 3)


@pytest.fixture
async def writer(store: Store, folder: Path) -> AsyncIterator[Writer]:
    """Writes already, to three nodes that are all there."""
    await store.until_started(REPAIRED_WITHIN)
    writer = await store.writer(folder)
    await asyncio.to_thread(writer.start)
    try:
        yield writer
    finally:
        await asyncio.to_thread(writer.stop)


async def writes(writer: Writer, more: int, within: float) -> None:
    await asyncio.to_thread(writer.wait_for, more, within)


async def judged(writer: Writer, store: Store, folder: Path, gap: float) -> None:
    """What must hold after every failover."""
    await asyncio.to_thread(writer.stop)
    primary = await store.read_write(folder)

    def lost() -> list[int]:
        with psycopg.connect(**primary) as connection:
            return writer.lost(connection)

    assert await asyncio.to_thread(lost) == []
    assert writer.overlapping_primaries() == []
    print(f"gap in writes: {writer.gap():.1f} s")
    assert writer.gap() < gap


async def replaced(store: Store, local: LocalSide, gone: dict[str, str], seen: list[tuple[str, str]]) -> None:
    """The lost node gave way to a new one, the cloud has nothing of it, and users were told the truth meanwhile."""
    await eventually(lambda: _without(store, gone), REPAIRED_WITHIN, every=0.5, what="the node is replaced")
    await store.until_started(REPAIRED_WITHIN)
    nodes = await store.nodes()
    assert sorted(node["role"] for node in nodes) == ["primary", "replica", "replica"]
    assert any(node["synchronous"] for node in nodes)
    job = await store.job("JOB_TYPE_REPAIR_NODE")
    assert job["status"] == "JOB_STATUS_FINISHED"
    told = [why for status, why in seen if status in ("DEGRADED", "FAILURE")]
    assert any(gone["label"] in why for why in told), seen
    on_cloud = [resource.name for resource in await local.resources()]
    assert not [name for name in on_cloud if name.startswith(_server(gone)) or name == gone["private_ip"]]
    await local.check_inventory()


async def _without(store: Store, gone: dict[str, str]) -> bool:
    return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]


def _server(node: dict[str, str]) -> str:
    """What its server's and volume's names on the cloud begin with, from the datastore's short id on."""
    place, generation = node["label"][1:].split("g")
    short_id = node["hostname"].split(".")[1]
    instance = node["hostname"].split(".")[2]
    return f"ccx-{instance}-{short_id}-n{place}-{generation}"


async def test_the_machine_dies_and_the_cloud_says_so(
    store: Store, writer: Writer, local: LocalSide, folder: Path
) -> None:
    await writes(writer, 100, 30)
    gone = await store.primary()
    async with store.watching() as seen:
        await local.cloud.kill(gone["hostname"])
        await writes(writer, 100, 90)
        await replaced(store, local, gone, seen)
    await judged(writer, store, folder, GAP_WITHIN)


async def test_the_machine_dies_and_only_probes_can_tell(
    store: Store, writer: Writer, local: LocalSide, folder: Path
) -> None:
    await writes(writer, 100, 30)
    gone = await store.primary()
    await local.cloud.silence(True)
    try:
        async with store.watching() as seen:
            await local.cloud.kill(gone["hostname"])
            await writes(writer, 100, 90)
            await replaced(store, local, gone, seen)
    finally:
        await local.cloud.silence(False)
    await judged(writer, store, folder, GAP_WITHIN)


async def test_the_network_is_cut_and_the_machine_lives_on(
    store: Store, writer: Writer, local: LocalSide, folder: Path
) -> None:
    """The cloud turns it off before another primary writes its first row."""
    await writes(writer, 100, 30)
    gone = await store.primary()
    before = len(writer.acknowledged)
    async with store.watching() as seen, _stopped(local, gone) as stopped:
        await local.cloud.cut(gone["hostname"])
        await writes(writer, 100, 90)
        event = await asyncio.wait_for(stopped, 30)
        await replaced(store, local, gone, seen)

    former = writer.acknowledged[before].server
    first = next(ack for ack in writer.acknowledged[before:] if ack.server != former)
    off_at = event.at - time.time() + time.monotonic()
    assert off_at < first.acknowledged_at
    fences = await local.installed.query(
        "select detail from stores.audit where action = 'fence' and detail->>'node' = %s", [gone["label"]]
    )
    assert any(row[0]["outcome"] == "released" for row in fences), fences
    await judged(writer, store, folder, GAP_WITHIN)


@asynccontextmanager
async def _stopped(local: LocalSide, node: dict[str, str]) -> AsyncIterator[asyncio.Task[CloudEvent]]:
    """A task that ends with the cloud's report that the machine is off."""
    listening = asyncio.Event()

    async def follow() -> CloudEvent:
        listening.set()
        async for event in local.cloud.events():
            if event.server == _server(node) and event.state is ServerState.STOPPED:
                return event
        raise AssertionError("the cloud's events ended")

    task = asyncio.create_task(follow())
    try:
        await listening.wait()
        yield task
    finally:
        task.cancel()


async def test_what_only_the_control_plane_cant_reach_is_left_alone_and_that_is_said(
    store: Store, writer: Writer, local: LocalSide, folder: Path
) -> None:
    await writes(writer, 100, 30)
    primary = await store.primary()
    before = sorted(node["host_uuid"] for node in await store.nodes())
    repairs = len([job for job in await store.jobs() if job["type"] == "JOB_TYPE_REPAIR_NODE"])

    node, control = primary["private_ip"], local.installed.layout.control
    between = (f"ip saddr {control} ip daddr {node}", f"ip saddr {node} ip daddr {control}")
    async with store.watching() as seen, local.dropping(*between):
        await eventually(
            lambda: any(primary["label"] in why and "peers do" in why for _, why in seen), 60, what="the status says so"
        )
        # Longer than a lost node is waited for, and than a leader's lease.
        await writes(writer, 2500, 120)
        assert {status for status, _ in seen} <= {"STARTED", "DEGRADED"}, seen
        assert (await store.status())[0] == "DEGRADED"
    await store.until_started(60)

    assert (await store.primary())["host_uuid"] == primary["host_uuid"]
    assert sorted(node["host_uuid"] for node in await store.nodes()) == before
    assert len([job for job in await store.jobs() if job["type"] == "JOB_TYPE_REPAIR_NODE"]) == repairs
    assert (await local.cloud.get_server(_server(primary))).state is ServerState.RUNNING  # type: ignore[union-attr]
    await judged(writer, store, folder, GAP_WITHIN)
    assert len({ack.primary for ack in writer.acknowledged}) == 1


# The steps of replacing a node, in the order in which they begin.
STEPS = (
    "reserve", "fence", "volume", "server", "boot", "certificate", "configure", "retire", "join",
    "remove old server", "remove old volume", "whole", "names", "done",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
async def test_a_repair_ends_well_when_the_process_is_killed_in(
    step: str, store: Store, writer: Writer, local: LocalSide, folder: Path
) -> None:
    gone, since = await store.primary(), datetime.now(UTC)
    async with store.watching() as seen:
        await local.cloud.kill(gone["hostname"])
        await store.reached("replace_node", step, since)
        await local.installed.kill_serve()
        await replaced(store, local, gone, seen)
    assert len(await local.of(gone["hostname"].split(".")[1])) == 10
    await judged(writer, store, folder, GAP_WITHIN)


async def test_without_a_control_plane_patroni_fails_over_alone_and_the_next_start_repairs(
    store: Store, writer: Writer, local: LocalSide, folder: Path
) -> None:
    installed = local.installed
    await writes(writer, 100, 30)
    gone = await store.primary()

    os.kill(installed.record().pid, signal.SIGKILL)
    await eventually(lambda: _down(installed), within=30, what="the control plane is down")
    await local.cloud.kill(gone["hostname"])
    await writes(writer, 100, 120)
    assert not await installed.healthy()
    await installed.up()

    async with store.watching() as seen:
        await replaced(store, local, gone, seen)
    await judged(writer, store, folder, ALONE_WITHIN)


async def _down(installed: Installed) -> bool:
    return not await installed.healthy()
