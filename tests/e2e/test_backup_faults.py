"""What goes on while a backup runs, and what becomes of it when the store, the node or the control plane fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.tenant import CREATED_WITHIN, REPAIRED_WITHIN, LocalSide, Store, Tenant, execute, select

from ccx.settings import load

BACKUPS = "backup/api/v1/backups"
BACKED_UP_WITHIN = 300.0
APPLIED_WITHIN = 15.0
SWITCH = "runuser -u postgres -- psql -h /run/postgresql -Atqc 'select pg_switch_wal()' postgres"


@pytest.fixture(scope="module")
async def store(tenant: Tenant, folder: Path) -> Store:
    """One node, with a first backup."""
    made = await tenant.create("faulty", 1)
    await ended(made, await begin(made, "full"))
    return made


async def begin(store: Store, kind: str) -> str:
    job: str = (await store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"]
    return job


async def look(store: Store, job: str) -> dict[str, Any]:
    found: dict[str, Any] = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
    return found


async def ended(store: Store, job: str) -> dict[str, Any]:
    """The job, done."""

    async def over() -> dict[str, Any] | None:
        found = await look(store, job)
        return found if found["finished_at"] else None

    found: dict[str, Any] = await eventually(over, BACKED_UP_WITHIN, what="the backup ends")
    assert found["state"] == "done", found
    return found


@asynccontextmanager
async def store_away(local: LocalSide) -> AsyncIterator[None]:
    """Meanwhile nodes get no answer from the object store."""
    cloud = load(local.installed.instance, {}).cloud("local")
    assert cloud is not None
    port = cloud.s3_endpoint.rpartition(":")[2]
    async with local.dropping(f"tcp dport {port}", f"tcp sport {port}"):
        yield


async def held(store: Store, local: LocalSide, kind: str) -> tuple[str, Any]:
    """A backup that is being made, and can't get on before the returned exit is called."""
    since = datetime.now(UTC)
    job = await begin(store, kind)
    await store.reached("backup_datastore", "backup", since)
    away = store_away(local)
    await away.__aenter__()
    return job, away


async def test_a_backup_blocks_neither_the_firewall_nor_users_nor_the_database(
    store: Store, local: LocalSide, folder: Path
) -> None:
    writer = await store.writer(folder)
    await asyncio.to_thread(writer.start)
    job, away = await held(store, local, "full")
    try:
        began = datetime.now(UTC)
        await store.allow("198.51.100.0/24")

        async def applied() -> bool:
            return (await store.job("JOB_TYPE_APPLY_FIREWALL"))["state"] == "done"

        await eventually(applied, APPLIED_WITHIN, what="the firewall is applied")
        assert datetime.fromisoformat((await store.job("JOB_TYPE_APPLY_FIREWALL"))["created_at"]) > began
        user = {"database_username": "meanwhile", "database_password": "a-long-password"}
        await store.call("POST", "userdb/api/v1/user", user)
        assert (await look(store, job))["state"] == "running"
    finally:
        await away.__aexit__(None, None, None)
    steps = {step["name"]: step for step in (await ended(store, job))["steps"]}
    told = steps["backup"]["progress"]
    assert told["unit"] == "bytes"
    assert told["done"] <= told["total"]
    await asyncio.to_thread(writer.wait_for, 1, 10)
    await asyncio.to_thread(writer.stop)
    assert writer.gap() < 2


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_store_that_is_killed_in_the_middle_of_a_backup_is_outlived(
    store: Store, installation: Installed, folder: Path
) -> None:
    """It needs up to 24 s to come back. The backup goes on, or begins again: it is listed once, and restorable."""
    before = (await store.call("GET", BACKUPS))["total"]
    writer = await store.writer(folder)
    await asyncio.to_thread(writer.start)
    since = datetime.now(UTC)
    job = await begin(store, "full")
    await store.reached("backup_datastore", "backup", since)
    pid = installation.pid("s3")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await ended(store, job)
    await asyncio.to_thread(writer.stop)
    assert writer.gap() < 2
    found = await store.call("GET", BACKUPS)
    assert found["total"] == before + 1
    assert found["backups"][0]["status"] == "completed"


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_deletion_ends_a_running_backup_and_does_not_wait_for_it(tenant: Tenant, local: LocalSide) -> None:
    store = await tenant.create("goes", 1)
    await ended(store, await begin(store, "full"))
    job, away = await held(store, local, "full")
    try:
        await store.call("DELETE", "prov/api/v2/cluster")
        await store.until_deleted()
        assert (await look(store, job))["state"] == "cancelled"
        assert await local.of(await store.short_id()) == []
    finally:
        await away.__aexit__(None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_primary_that_dies_during_a_backup_is_replaced_meanwhile_and_the_backup_goes_on(
    tenant: Tenant, local: LocalSide, folder: Path
) -> None:
    store = await tenant.create("three", 3)
    await ended(store, await begin(store, "full"))
    job, away = await held(store, local, "full")
    lost = await store.primary()
    await local.cloud.kill(lost["hostname"])
    await away.__aexit__(None, None, None)
    done = await ended(store, job)
    assert next(step for step in done["steps"] if step["name"] == "backup")["attempts"] > 1

    async def repaired() -> bool:
        return (await store.status())[0] == "STARTED" and len(await store.nodes()) == 3

    await eventually(repaired, REPAIRED_WITHIN, every=0.5, what="the lost node is replaced")


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_control_plane_that_is_killed_during_a_backup_finds_it_again(
    store: Store, local: LocalSide, installation: Installed
) -> None:
    job, away = await held(store, local, "full")
    try:
        await installation.kill_serve()
        await eventually(installation.healthy, 60, what="the control plane is back")
    finally:
        await away.__aexit__(None, None, None)
    done = await ended(store, job)
    assert len([b for b in (await store.call("GET", BACKUPS))["backups"] if b["started_at"] >= done["started_at"]]) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_store_that_goes_away_for_good_fails_the_backup_with_its_cause_and_the_log_waits(
    store: Store, local: LocalSide, folder: Path
) -> None:
    primary = (await store.parameters(folder))[0]
    total = (await store.call("GET", BACKUPS))["total"]
    job, away = await held(store, local, "full")
    try:
        await execute(primary, "create table waits as select g, repeat('x', 500) t from generate_series(1, 100000) g")
        init = str(await local.init_of(primary["hostaddr"]))
        await run("nsenter", "-t", init, "-a", "sh", "-c", SWITCH)

        async def named() -> bool:
            status, why = await store.status()
            return status == "DEGRADED" and "of it wait on the volume, which is" in why

        await eventually(named, 120, every=1, what="the log that waits is named")
        assert await select(primary, "select count(*) from waits") == 100_000

        async def over() -> dict[str, Any] | None:
            found = await look(store, job)
            return found if found["finished_at"] else None

        failed = await eventually(over, 900, every=1, what="the backup is given up")
        assert failed["state"] == "failed"
        assert "the object store does not answer" in failed["error"]
        assert failed["remedy"]
    finally:
        await away.__aexit__(None, None, None)
    assert (await store.call("GET", BACKUPS))["total"] == total
    await store.until_started(CREATED_WITHIN)
    await ended(store, await begin(store, "incremental"))


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_log_is_given_up_before_it_fills_the_volume_and_a_full_backup_makes_up_for_it(
    store: Store, local: LocalSide, folder: Path
) -> None:
    primary = (await store.parameters(folder))[0]
    init = str(await local.init_of(primary["hostaddr"]))
    on_node = ("nsenter", "-t", init, "-a", "sh", "-c")
    before = (await store.call("GET", BACKUPS))["backups"][0]["backup_id"]
    async with store_away(local):
        room = "$(($(df -Pk /var/lib/ccx-data | awk 'NR == 2 { print $4 }') - 700000))K"
        await run(*on_node, f"fallocate -l {room} /var/lib/ccx-data/something")
        await execute(primary, "create table much (t text)")
        for _ in range(12):
            await execute(primary, "insert into much select repeat(md5(g::text), 20) from generate_series(1, 15000) g")
            await run(*on_node, SWITCH)

        async def given_up() -> bool:
            return "segments of the log were given up" in (await store.status())[1]

        await eventually(given_up, 240, every=1, what="the log is given up, and that is said")
        assert await select(primary, "select count(*) from much") == 12 * 15000
        await run(*on_node, "rm /var/lib/ccx-data/something")

    async def made_up() -> bool:
        newest = (await store.call("GET", BACKUPS))["backups"][0]
        return newest["backup_id"] != before and newest["backup_type"] == "full"

    await eventually(made_up, BACKED_UP_WITHIN, every=1, what="a full backup is made")
    await store.until_started(CREATED_WITHIN)
