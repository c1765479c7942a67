"""Two nodes of MariaDB keep what they promise: a second copy, and nobody who takes over by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.mariadb_application import MariaDbApplication
from tests.e2e.observed import nothing_undeclared
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant
from tests.engine_conformance import Judge, Login, logins

from ccx.clouds.local.image import ensure_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ALONE_AFTER_S = 10.0
"""What the promise says: so long a write waits for a replica that is gone."""

application = MariaDbApplication()


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    await asyncio.to_thread(ensure_image, application.image)
    settings = ("auto_repair.delay=20", "guard=enforce", *application.settings)
    await new_installation.up(*(word for setting in settings for word in ("--set", setting)))
    yield new_installation
    await nothing_undeclared(new_installation)


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    return await tenant.create("pair", 2, vendor="mariadb")


@pytest.fixture
async def judge(store: Store) -> AsyncIterator[Judge]:
    """Writes already, to two nodes that are both there."""
    await store.until_started(REPAIRED_WITHIN)
    judge = application.judge(logins(await store.connection()))
    async with judge.running():
        await more(judge, 50, 30)
        yield judge


async def more(judge: Judge, count: int, within: float) -> None:
    goal = judge.acknowledged() + count
    await eventually(lambda: judge.acknowledged() >= goal, within, what=f"{count} more writes are acknowledged")


async def primary_of(store: Store) -> Login:
    host = (await store.primary())["hostname"]
    return next(login for login in logins(await store.connection()) if login.host == host)


async def complete(judge: Judge, login: Login) -> bool:
    return await judge.lost(login) == []


async def kill(local: LocalSide, node: dict[str, str]) -> None:
    os.kill(await local.init_of(node["private_ip"]), signal.SIGKILL)


async def test_the_promise_of_two_is_shown_before_they_are_ordered(tenant: Tenant, store: Store) -> None:
    offered = (await tenant.call("GET", "content/api/v1/deploy-wizard"))["database"]["vendors"]
    mariadb = next(vendor for vendor in offered if vendor["code"] == "mariadb")
    assert "no automatic failover" in mariadb["promises"]["2"]
    assert sorted(node["role"] for node in await store.nodes()) == ["primary", "replica"]
    assert [node["synchronous"] for node in await store.nodes() if node["role"] == "replica"] == [True]


async def test_without_its_replica_the_primary_goes_on_and_another_replica_takes_the_lost_ones_place(
    store: Store, local: LocalSide, judge: Judge
) -> None:
    gone = next(node for node in await store.nodes() if node["role"] == "replica")
    primary = await store.primary()
    await kill(local, gone)
    began = time.monotonic()
    await more(judge, 100, 60)
    print(f"writes went on {time.monotonic() - began:.1f} s after the replica's end")

    async def replaced() -> bool:
        return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]

    await eventually(replaced, within=REPAIRED_WITHIN, what="the replica is replaced")
    await store.until_started(REPAIRED_WITHIN)
    await judge.stop()
    assert (await store.primary())["host_uuid"] == primary["host_uuid"]
    assert await judge.lost(await primary_of(store)) == []
    for login in logins(await store.connection()):
        await eventually(lambda login=login: complete(judge, login), 10, what=f"{login.host} has every write")
    assert judge.overlaps() == []
    assert judge.gap() < ALONE_AFTER_S + 10


async def test_the_primarys_machine_is_lost_and_nobody_takes_over_until_it_is_back_with_every_write(
    store: Store, local: LocalSide, judge: Judge
) -> None:
    gone = await store.primary()
    async with store.watching() as seen:
        await kill(local, gone)
        await more(judge, 100, REPAIRED_WITHIN)
        await store.until_started(REPAIRED_WITHIN)
    await judge.stop()
    assert "FAILURE" in [status for status, _ in seen]
    assert (await store.primary())["host_uuid"] == gone["host_uuid"], "its machine is started again"
    assert await judge.lost(await primary_of(store)) == []
    assert judge.overlaps() == []
    print(f"gap in writes: {judge.gap():.1f} s; {judge.acknowledged()} acknowledged, none lost")
