"""MariaDB's rows of the contract are blocked one at a time: what happens is what they promise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.mariadb_application import MariaDbApplication
from tests.e2e.observed import nothing_undeclared
from tests.e2e.promises import promised
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant
from tests.engine_conformance import Login, Refused, logins

from ccx.clouds.local.image import ensure_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

APPLICATION = MariaDbApplication()
NOTICED_WITHIN = 60.0
BACK_WITHIN = 150.0
GIVEN_UP_AFTER = 30.0
"""More than the seconds after which a keeper gives up a server that is silent."""
LEASE = 10.0
"""Seconds, as the row says."""


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    await asyncio.to_thread(ensure_image, APPLICATION.image)
    changes = ("auto_repair.delay=5", "cloud_init_timeout_minutes=2", *APPLICATION.settings)
    await new_installation.up(*(word for change in changes for word in ("--set", change)))
    yield new_installation
    await nothing_undeclared(new_installation)


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    store = await tenant.create("shop", 3, vendor="mariadb")
    await APPLICATION.ask(await primary_of(store), "create table seen (n int)")
    return store


@pytest.fixture
async def kept(store: Store) -> AsyncIterator[Store]:
    """Before and after: STARTED, and served by the same nodes."""
    await store.until_started(BACK_WITHIN)
    before = {node["host_uuid"] for node in await store.nodes()}
    yield store
    await eventually(lambda: writable(store), BACK_WITHIN, every=1, what="a primary accepts writes")
    await eventually(lambda: shows(store, "STARTED"), BACK_WITHIN, every=0.5, what="all is well again")
    assert {node["host_uuid"] for node in await store.nodes()} == before


@pytest.fixture
def control(installation: Installed) -> str:
    return str(installation.layout.control)


@pytest.fixture
def nodes(installation: Installed) -> str:
    """The network that nodes have their addresses in, as nftables writes it."""
    place = installation.layout.place
    return f"{place.node(256)}-{place.subnet[-2]}"


async def primary_of(store: Store) -> Login:
    host = (await store.primary())["hostname"]
    return next(login for login in logins(await store.connection()) if login.host == host)


async def shows(store: Store, status: str) -> bool:
    return (await store.status())[0] == status


async def accepts(login: Login) -> bool:
    """Whether a row is acknowledged within five seconds."""
    try:
        async with asyncio.timeout(5):
            await APPLICATION.ask(login, "insert into seen values (1)")
    except (Refused, OSError):
        return False
    return True


async def writable(store: Store) -> bool:
    """Whether any node acknowledges a row."""
    return any(await asyncio.gather(*(accepts(login) for login in logins(await store.connection()))))


async def test_without_the_keepers_port_the_status_is_unknown_and_it_serves(
    kept: Store, local: LocalSide, control: str
) -> None:
    promised("mariadb.keeper", "UNKNOWN", "it serves and fails over by itself")
    async with local.dropping(f"ip saddr {control} tcp dport 8008"):
        await eventually(lambda: shows(kept, "UNKNOWN"), NOTICED_WITHIN, every=0.5, what="it shows as UNKNOWN")
        assert await writable(kept)


async def test_applications_that_are_blocked_reach_nothing_and_nothing_else_changes(
    kept: Store, local: LocalSide
) -> None:
    promised("mariadb.clients", "applications can't reach the datastore", "nothing else changes")
    host = local.installed.layout.host
    async with local.dropping(f"ip saddr {host} tcp dport 3306"):
        assert not await writable(kept)
        assert await shows(kept, "STARTED")


async def test_without_replication_the_datastore_is_degraded_and_writes_wait(
    kept: Store, local: LocalSide, nodes: str
) -> None:
    promised("mariadb.peers.replication", "writes wait", "DEGRADED")
    primary = await primary_of(kept)
    async with local.dropping(f"ip saddr {nodes} ip daddr {nodes} tcp dport 3306"):
        await eventually(lambda: shows(kept, "DEGRADED"), 90, every=0.5, what="it shows as DEGRADED")
        # Two that wait hold the server's log: the keeper must not take it for dead, and leave the primary to another.
        assert not any(await asyncio.gather(*(accepts(primary) for _ in range(3))))
        await asyncio.sleep(GIVEN_UP_AFTER)
        assert await APPLICATION.ask(primary, "select @@read_only") == [(0,)]
    await kept.until_started(BACK_WITHIN)
    assert await primary_of(kept) == primary


async def test_without_etcd_between_nodes_it_is_read_only_until_there_is_a_majority(
    kept: Store, local: LocalSide, nodes: str
) -> None:
    promised("mariadb.peers.etcd", "the primary ends its server", "read-only")

    async def all_read_only() -> bool:
        try:
            told = [await APPLICATION.read_only(login) for login in logins(await kept.connection())]
        except (Refused, OSError):
            return False
        return all(told)

    async with local.dropping(f"ip saddr {nodes} ip daddr {nodes} tcp dport {{ 2379, 2380 }}"):
        await eventually(all_read_only, 60, every=0.5, what="all nodes are read-only")
        assert not await writable(kept)


async def test_without_etcds_port_a_dead_primary_is_succeeded_when_its_lease_expires_and_replaced_later(
    store: Store, local: LocalSide, control: str
) -> None:
    promised("mariadb.etcd", "failover waits for the lease to expire (10 s)", "no lost node replaced")
    await store.until_started(BACK_WITHIN)
    gone = await store.primary()
    others = [login for login in logins(await store.connection()) if login.host != gone["hostname"]]

    async def succeeded() -> bool:
        return any(await asyncio.gather(*map(accepts, others)))

    async with local.dropping(f"ip saddr {control} tcp dport 2379"):
        died = time.monotonic()
        await local.cloud.kill(gone["hostname"])
        await eventually(succeeded, 60, every=0.1, what="a replica accepts writes")
        assert time.monotonic() - died > LEASE / 2, "the lease was not ended by anybody"
        await asyncio.sleep(30)
        assert gone["host_uuid"] in [node["host_uuid"] for node in await store.nodes()]

    async def replaced() -> bool:
        return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]

    await eventually(replaced, REPAIRED_WITHIN, every=0.5, what="the node is replaced when it is open again")
    await store.until_started(REPAIRED_WITHIN)


async def test_a_node_that_no_copy_is_given_to_does_not_join_and_those_that_run_go_on(
    store: Store, local: LocalSide, nodes: str
) -> None:
    promised("mariadb.peers.keeper", "a node can't join", "those that run go on, and fail over")
    await store.until_started(BACK_WITHIN)
    gone, since = next(node for node in await store.nodes() if node["role"] == "replica"), datetime.now(UTC)
    async with local.dropping(f"ip saddr {nodes} ip daddr {nodes} tcp dport 8008"):
        await local.cloud.kill(gone["hostname"])
        await store.reached("replace_node", "join", since)
        await asyncio.sleep(15)
        assert not await shows(store, "STARTED")
        assert await writable(store)
    await store.until_started(REPAIRED_WITHIN)
    assert gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]
