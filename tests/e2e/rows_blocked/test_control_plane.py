"""What the control plane connects to, blocked row by row: what happens is what they promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.observed import observed
from tests.e2e.promises import promised
from tests.e2e.rows_blocked.datastore import on_loopback, shows, started, write
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, select

TIMED_OUT = 124
"""What ``timeout`` exits with."""
NOTICED_WITHIN = 40.0
BACK_WITHIN = 120.0


@asynccontextmanager
async def on_this_machine(installed: Installed) -> AsyncIterator[None]:
    """Nobody gets to the public listener: it is on this machine's own loopback, with a port of the test's."""
    table = f"ccx_fault_{installed.listen.rpartition(':')[2]}"
    packets = f"oif lo tcp dport {installed.listen.rpartition(':')[2]}"
    place = "type filter hook output priority -10;"
    await run("nft", f"table ip {table} {{ chain output {{ {place} {packets} drop; }}; }}")
    try:
        yield
    finally:
        await run("nft", f"delete table ip {table}")


@asynccontextmanager
async def socket_away(socket: Path) -> AsyncIterator[None]:
    """A unix socket can't be reached by those who look for it."""
    aside = socket.with_suffix(".aside")
    socket.rename(aside)
    try:
        yield
    finally:
        aside.rename(socket)


async def test_without_ssh_to_nodes_a_change_fails_soon_and_names_the_row_and_the_datastore_serves(
    kept: Store, local: LocalSide, control: str, folder: Path
) -> None:
    promised("cmon.ssh", "datastores serve", "no change to them succeeds")
    async with local.dropping(f"ip saddr {control} tcp dport 22"):
        async with asyncio.timeout(30):
            answer = await kept.tenant.answer("GET", f"userdb/api/v1/users/{kept.uuid}")
        assert answer.status_code == 503, answer.text
        assert "cmon.ssh" in answer.text
        await write(kept, folder)
        assert await started(kept)
    assert (await kept.tenant.answer("GET", f"userdb/api/v1/users/{kept.uuid}")).status_code == 200


async def test_without_nats_events_wait_in_order_and_work_goes_on(kept: Store, installation: Installed) -> None:
    promised("state.nats", "events wait in the outbox", "jobs go on")
    waiting = "select count(*) from stores.outbox where published_at is null"
    async with on_loopback(installation, 4222):
        for name in ("orders-2", "orders"):
            await kept.call("PATCH", "prov/api/v2/cluster", {"cluster_name": name})
        source = "203.0.113.7"
        await kept.allow(source)  # by a job
        await eventually(lambda: _idle(kept), 30, what="the job ends")
        [(unsent,)] = await installation.query(waiting)
        assert unsent >= 2

    async def all_sent() -> bool:
        return await installation.query(waiting) == [(0,)]

    await eventually(all_sent, BACK_WITHIN, what="the events are sent")
    published = "select id from stores.outbox order by published_at, id"
    order = [number for (number,) in await installation.query(published)]
    assert order == sorted(order)
    await kept.disallow(source)
    await eventually(lambda: _idle(kept), 30, what="the job ends")


async def _idle(store: Store) -> bool:
    return (await store.show())["current_job"] is None


@pytest.mark.slow
async def test_without_patronis_port_the_status_is_unknown_and_nobody_touches_the_nodes(
    kept: Store, local: LocalSide, control: str, folder: Path
) -> None:
    promised("postgres.patroni", "UNKNOWN", "it serves and fails over by itself")
    async with local.dropping(f"ip saddr {control} tcp dport 8008"):
        await eventually(lambda: shows(kept, "UNKNOWN"), NOTICED_WITHIN, every=0.5, what="it shows as UNKNOWN")
        await asyncio.sleep(15)  # three times what a lost node has until it is replaced
        assert await shows(kept, "UNKNOWN")
        await write(kept, folder)
        assert not [job for job in await kept.jobs() if job["type"] == "JOB_TYPE_REPAIR_NODE"]


@pytest.mark.slow
async def test_without_the_public_port_nobody_manages_and_datastores_go_on(
    kept: Store, installation: Installed, folder: Path
) -> None:
    promised("rest.public", "nobody can manage datastores", "they go on")
    parameters = await kept.read_write(folder)
    async with on_this_machine(installation):
        assert not await installation.healthy()
        assert await select(parameters, "select pg_is_in_recovery()") is False
    assert await installation.healthy()


@pytest.mark.slow
async def test_without_the_port_inside_the_public_one_answers(kept: Store, installation: Installed) -> None:
    promised("rest.user", "the public port", "go on")
    ask = ("timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/18091")
    async with on_loopback(installation, 18091):
        assert (await installation.inside(*ask, check=False)).returncode == TIMED_OUT
        assert await installation.healthy()
        assert await started(kept)
    await installation.inside(*ask)


@pytest.mark.slow
async def test_without_the_clouds_daemon_a_job_waits_and_datastores_go_on(
    kept: Store, installation: Installed, folder: Path
) -> None:
    promised("cloud.local.daemon", "jobs on the local cloud wait and are retried", "running datastores go on")
    source = "203.0.113.9"
    async with socket_away(installation.layout.cloud_socket):
        await kept.allow(source)  # by a job
        await asyncio.sleep(5)
        assert await _applied(kept) == "JOB_STATUS_RUNNING"
        await write(kept, folder)
    await eventually(lambda: _has_applied(kept), 60, what="the job ends well")
    await kept.disallow(source)
    await eventually(lambda: _has_applied(kept), 30, what="the job ends well")


async def _applied(store: Store) -> str:
    return str((await store.job("JOB_TYPE_APPLY_FIREWALL"))["status"])


async def _has_applied(store: Store) -> bool:
    return await _applied(store) == "JOB_STATUS_FINISHED"


@pytest.mark.slow
async def test_without_the_kernels_word_what_was_observed_is_told_to_be_blind(
    kept: Store, installation: Installed
) -> None:
    promised("state.kernel", "can't see the control plane", "nothing else changes")
    async with socket_away(installation.layout.run / "kernel.sock"):
        assert [one["source"] for one in (await observed(installation))["blind"]] == ["control-plane"]
        assert await started(kept)
    assert (await observed(installation))["blind"] == []


@pytest.mark.slow
async def test_without_etcds_port_datastores_serve(kept: Store, local: LocalSide, control: str, folder: Path) -> None:
    promised("postgres.etcd", "failover waits for the lease to expire")
    async with local.dropping(f"ip saddr {control} tcp dport 2379"):
        await asyncio.sleep(10)
        await write(kept, folder)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["control", "nodes"])
async def test_without_dns_clusters_go_on(
    kept: Store, local: LocalSide, control: str, nodes: str, folder: Path, who: str
) -> None:
    promised("dns.udp", "nodes are reached by address and go on")
    promised("node.dns-udp", "clusters go on by address")
    source = control if who == "control" else nodes
    async with local.dropping(f"ip saddr {source} udp dport 53", hook="input"):
        await asyncio.sleep(10)
        await write(kept, folder)
        assert (await kept.tenant.answer("GET", f"userdb/api/v1/users/{kept.uuid}")).status_code == 200
        assert await started(kept)


@pytest.mark.slow
async def test_without_etcds_port_a_dead_primary_is_succeeded_when_its_lease_expires(
    store: Store, local: LocalSide, control: str, folder: Path
) -> None:
    """Last: the node is replaced, once the way is open again."""
    promised("postgres.etcd", "failover waits for the lease to expire (30 s)", "replaced when it is open again")
    await store.until_started(BACK_WITHIN)
    writer = await store.writer(folder)
    await asyncio.to_thread(writer.start)
    try:
        await asyncio.to_thread(writer.wait_for, 100, 30)
        gone = await store.primary()
        async with local.dropping(f"ip saddr {control} tcp dport 2379"):
            await local.cloud.kill(gone["hostname"])
            await asyncio.to_thread(writer.wait_for, 100, 90)
            assert gone["host_uuid"] in {node["host_uuid"] for node in await store.nodes()}
    finally:
        await asyncio.to_thread(writer.stop)
    assert writer.overlapping_primaries() == []
    await store.until_started(REPAIRED_WITHIN)
