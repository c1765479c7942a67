"""Rows of the contract are blocked one at a time, as a firewall does that drops: what happens is what they promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.observed import nothing_undeclared, observed
from tests.e2e.promises import promised
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Parameters, Store, Tenant, refused, select

from ccx.embedded.layout import S3_PORT

TIMED_OUT = 124
"""What ``timeout`` exits with."""
NOTICED_WITHIN = 40.0
SOON = 30.0
BACK_WITHIN = 120.0
BACKUP_ENDS_WITHIN = 600.0
ARCHIVES_WITHIN = 240.0


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    """As elsewhere, but that nodes have two minutes to phone home."""
    await new_installation.up("--set", "auto_repair.delay=5", "--set", "cloud_init_timeout_minutes=2")
    yield new_installation
    await nothing_undeclared(new_installation)


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    """Three nodes, open to this machine. Every test leaves it STARTED, with the nodes that it had."""
    return await tenant.create("orders", 3)


@pytest.fixture
async def kept(store: Store, folder: Path) -> AsyncIterator[Store]:
    """Before and after: STARTED, and served by the same nodes."""
    await store.until_started(BACK_WITHIN)
    before = {node["host_uuid"] for node in await store.nodes()}
    yield store
    await eventually(lambda: writable(store, folder), BACK_WITHIN, every=1, what="a primary accepts writes")
    await eventually(lambda: _started(store), BACK_WITHIN, every=0.5, what="all is well again")
    assert {node["host_uuid"] for node in await store.nodes()} == before


async def _started(store: Store) -> bool:
    return (await store.status())[0] == "STARTED"


async def writable(store: Store, folder: Path) -> bool:
    """Whether a row can be committed within five seconds."""
    try:
        async with asyncio.timeout(5):
            await write(store, folder, connect_timeout="2")
    except (psycopg.Error, TimeoutError):
        return False
    return True


async def write(store: Store, folder: Path, **changed: str) -> None:
    """Commits a row, at whichever node accepts it. Raises psycopg.Error."""
    parameters = await store.read_write(folder, **changed)
    async with await psycopg.AsyncConnection.connect(autocommit=True, **parameters) as connection:
        await connection.execute("create table if not exists proof (at timestamptz)")
        await connection.execute("insert into proof values (now())")


@pytest.fixture(scope="module")
def control(installation: Installed) -> str:
    return str(installation.layout.control)


@pytest.fixture(scope="module")
def nodes(installation: Installed) -> str:
    """The network that nodes have their addresses in, as nftables writes it."""
    place = installation.layout.place
    return f"{place.node(256)}-{place.subnet[-2]}"


@asynccontextmanager
async def on_loopback(installed: Installed, port: int) -> AsyncIterator[None]:
    """Between the control plane's own services, nothing passes on that port."""
    place = "type filter hook output priority -10;"
    await installed.inside("nft", f"table ip fault {{ chain output {{ {place} oif lo tcp dport {port} drop; }}; }}")
    try:
        yield
    finally:
        await installed.inside("nft", "delete table ip fault")


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


# A sample, in CI.


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
        assert await _started(kept)
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


# The others.


@pytest.mark.slow
async def test_without_patronis_port_the_status_is_unknown_and_nobody_touches_the_nodes(
    kept: Store, local: LocalSide, control: str, folder: Path
) -> None:
    promised("postgres.patroni", "UNKNOWN", "it serves and fails over by itself")
    async with local.dropping(f"ip saddr {control} tcp dport 8008"):
        await eventually(lambda: _is(kept, "UNKNOWN"), NOTICED_WITHIN, every=0.5, what="it shows as UNKNOWN")
        await asyncio.sleep(15)  # three times what a lost node has until it is replaced
        assert await _is(kept, "UNKNOWN")
        await write(kept, folder)
        assert not [job for job in await kept.jobs() if job["type"] == "JOB_TYPE_REPAIR_NODE"]


async def _is(store: Store, status: str) -> bool:
    return (await store.status())[0] == status


@pytest.mark.slow
async def test_applications_that_are_blocked_reach_nothing_and_nothing_else_changes(
    kept: Store, local: LocalSide, installation: Installed, nodes: str, folder: Path
) -> None:
    promised("postgres.clients", "applications can't reach the datastore", "nothing else changes")
    async with local.dropping(f"ip saddr {installation.layout.host} ip daddr {nodes} tcp dport 5432"):
        for node in await kept.parameters(folder, connect_timeout="2"):
            assert await refused(node), node["host"]
        await asyncio.sleep(NOTICED_WITHIN / 2)
        assert await _started(kept)
        assert (await kept.tenant.answer("GET", f"userdb/api/v1/users/{kept.uuid}")).status_code == 200


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
        assert await _started(kept)
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
        assert await _started(kept)
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
        assert await _started(kept)


@pytest.mark.slow
async def test_without_replication_the_datastore_is_degraded_and_writes_wait(
    kept: Store, local: LocalSide, nodes: str, folder: Path
) -> None:
    promised("postgres.peers.replication", "writes wait", "DEGRADED")
    async with local.dropping(f"ip saddr {nodes} ip daddr {nodes} tcp dport 5432"):
        await eventually(lambda: _is(kept, "DEGRADED"), 90, every=0.5, what="it shows as DEGRADED")
        assert await select(await kept.read_write(folder), "select 1") == 1


@pytest.mark.slow
async def test_without_etcd_between_nodes_it_is_read_only_until_there_is_a_majority(
    kept: Store, local: LocalSide, nodes: str, folder: Path
) -> None:
    promised("postgres.peers.etcd", "the primary steps down", "read-only")
    packets = f"ip saddr {nodes} ip daddr {nodes} tcp dport {{ 2379, 2380 }}"

    async def read_only() -> bool:
        return not await writable(kept, folder)

    async with local.dropping(packets):
        await eventually(read_only, 90, every=1, what="the primary steps down")
        for node in await kept.parameters(folder):
            await eventually(lambda node=node: _recovering(node), 60, every=1, what=f"{node['host']} is read-only")


async def _recovering(node: Parameters) -> bool:
    return await _is_primary(node) is False


async def _is_primary(node: Parameters) -> bool | None:
    """None while it does not answer: it restarts, on its way down from primary, or it is busy."""
    try:
        return not await select(node, "select pg_is_in_recovery()")
    except psycopg.OperationalError:
        return None


@pytest.mark.slow
async def test_a_node_that_can_not_phone_home_fails_the_creation_names_the_row_and_leaves_nothing(
    tenant: Tenant, local: LocalSide, control: str, nodes: str
) -> None:
    promised("node.control-plane", "creating fails after CLOUD_INIT_TIMEOUT_MINUTES and is undone")
    async with local.dropping(f"ip saddr {nodes} ip daddr {control} tcp dport 443"):
        store = await tenant.order("mute", 1)
        failed: dict[str, Any] = await eventually(lambda: _failed(store), 200, every=1, what="the creation fails")
    assert "node.control-plane" in f"{failed}"
    await _left_nothing(store, local)


@pytest.mark.slow
async def test_a_node_without_dns_fails_the_creation_soon_names_the_row_and_leaves_nothing(
    tenant: Tenant, local: LocalSide, nodes: str
) -> None:
    promised("node.dns-udp", "a new node's job fails, names the resolver and is undone")
    async with local.dropping(f"ip saddr {nodes} udp dport 53", hook="input"):
        store = await tenant.order("deaf", 1)
        failed: dict[str, Any] = await eventually(lambda: _failed(store), 90, every=1, what="the creation fails")
    assert "node.dns-udp" in f"{failed}"
    probing = next(step for step in failed["job"]["steps"] if step["name"].startswith("probe"))
    ended = datetime.fromisoformat(probing["finished_at"] or failed["job"]["finished_at"])
    assert (ended - datetime.fromisoformat(probing["started_at"])).total_seconds() < SOON
    await _left_nothing(store, local)


async def _failed(store: Store) -> dict[str, Any] | None:
    if not await _is(store, "DEPLOY_FAILED"):
        return None
    return {"text": (await store.status())[1], "job": await store.job("JOB_TYPE_DEPLOY_DATASTORE")}


async def _left_nothing(store: Store, local: LocalSide) -> None:
    short_id = await store.short_id()
    assert await local.of(short_id) == []
    assert await store.kept_secrets() == []
    await local.check_inventory()


@pytest.mark.slow
async def test_a_first_backup_without_the_control_planes_way_to_the_store_fails_and_the_datastore_goes_on(
    kept: Store, installation: Installed, folder: Path
) -> None:
    promised("backup.own.internal", "first backups fail and say so", "datastores, go on")
    async with on_loopback(installation, S3_PORT):
        assert "object store" in await _backup_fails(kept)
        await write(kept, folder)
        await eventually(lambda: _is(kept, "DEGRADED"), ARCHIVES_WITHIN, every=1, what="it shows as DEGRADED")
    assert (await _back_up(kept))["status"] == "JOB_STATUS_FINISHED"
    await kept.until_started(BACK_WITHIN)


async def _backup_fails(store: Store) -> str:
    """With this error."""
    job = await _back_up(store)
    assert job["status"] == "JOB_STATUS_ERRORED", job
    return str(job["error"])


async def _back_up(store: Store) -> dict[str, Any]:
    """The job, when it has ended."""
    number = (await store.call("POST", "backup/api/v1/backups", {"backup_type": "full"}))["job_id"]

    async def ended() -> dict[str, Any] | None:
        path = f"deployment/v2/data-stores/{store.uuid}/jobs/{number}"
        job: dict[str, Any] = await store.tenant.call("GET", path)
        return job if job["finished_at"] else None

    job: dict[str, Any] = await eventually(ended, BACKUP_ENDS_WITHIN, every=1, what="the backup's job ends")
    return job


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


@pytest.mark.slow
async def test_no_replica_is_promoted_that_can_not_ask_the_others_how_far_they_are(
    store: Store, local: LocalSide, nodes: str, folder: Path
) -> None:
    """The lease is ended at once, so a replica would follow in seconds. Instead the lost machine is started again."""
    promised("postgres.peers.patroni", "no replica is promoted while it can't see the others")
    await store.until_started(BACK_WITHIN)
    gone = await store.primary()
    replicas = [node for node in await store.parameters(folder) if node["host"] != gone["hostname"]]
    async with local.dropping(f"ip saddr {nodes} ip daddr {nodes} tcp dport 8008"):
        await local.cloud.kill(gone["hostname"])
        seen: list[bool | None] = []
        for _ in range(20):
            await asyncio.sleep(1)
            seen += await asyncio.gather(*map(_is_primary, replicas))
        assert True not in seen
        assert seen.count(False) > len(seen) / 2, "they answer"
    await eventually(lambda: writable(store, folder), BACK_WITHIN, every=1, what="a primary accepts writes")
    await store.until_started(REPAIRED_WITHIN)


@pytest.mark.slow
async def test_a_backup_without_the_nodes_way_to_the_store_fails_and_the_datastore_goes_on(
    store: Store, local: LocalSide, nodes: str, control: str, folder: Path
) -> None:
    """The last of all: its log is archived again with the next backup, and until then it stays DEGRADED."""
    await store.until_started(REPAIRED_WITHIN)
    promised("backup.own.data", "backups and restores fail and say so", "datastores go on", "DEGRADED")
    async with local.dropping(f"ip saddr {nodes} ip daddr {control} tcp dport {S3_PORT}"):
        assert await _backup_fails(store)
        await write(store, folder)
        await eventually(lambda: _is(store, "DEGRADED"), ARCHIVES_WITHIN, every=1, what="it shows as DEGRADED")
