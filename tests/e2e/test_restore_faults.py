"""What becomes of a restore when its machine dies, when the store does, and when what is in the store is damaged.

It goes on, or it fails soon, says why, and leaves nothing; what was there before serves all the time.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.rows_blocked.datastore import on_loopback
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant, execute, select

from ccx.embedded.layout import S3_PORT
from ccx.settings import load
from ccx.storage.opened import open_store
from ccx.storage.s3 import S3

BACKUPS = "backup/api/v1/backups"
RESTORED_WITHIN, FAILED_WITHIN, SOON = 420.0, 420.0, 150.0
LONGEST_PAUSE_S = 3.0
SEGMENTS = 40
SWITCH = "runuser -u postgres -- psql -h /run/postgresql -Atqc 'select pg_switch_wal()' postgres"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
async def source(tenant: Tenant, local: LocalSide, folder: Path) -> Store:
    """One node with a backup, and a log of many segments behind it, with a row in each.

    And with more than PostgreSQL reads ahead of what it replays (``wal_decode_buffer_size``) in a few of them: of empty
    ones it would fetch dozens that a restore does not need.
    """
    store = await tenant.create("source", 1)
    # None by schedule meanwhile: what the log is needed for depends on which backup is the newest.
    await store.call("PUT", "backup/api/v1/policies", {"full": "", "incremental": "", "verify": "", "drill": ""})
    [primary] = await store.parameters(folder)
    await execute(primary, "create table kept (n int); create table filler (n int, text text)")
    await backed_up(store)
    init = str(await local.init_of(primary["hostaddr"]))
    for n in range(SEGMENTS):
        await execute(primary, f"insert into kept values ({n})")
        await execute(primary, f"insert into filler select {n}, repeat('x', 1000) from generate_series(1, 200)")
        await run("nsenter", "-t", init, "-a", "sh", "-c", SWITCH)
    return store


async def backed_up(store: Store) -> None:
    job = (await store.call("POST", BACKUPS, {"backup_type": "full"}))["job_id"]

    async def over() -> dict[str, Any] | None:
        found: dict[str, Any] = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
        return found if found["finished_at"] else None

    found: dict[str, Any] = await eventually(over, RESTORED_WITHIN, every=0.5, what="the backup ends")
    assert found["state"] == "done", found


async def rows(store: Store, folder: Path) -> list[int]:
    return list(await select((await store.parameters(folder))[0], "select array_agg(n order by n) from kept"))


@asynccontextmanager
async def store_away(local: LocalSide) -> AsyncIterator[None]:
    """Meanwhile nodes get no answer from the object store."""
    async with local.dropping(f"tcp dport {S3_PORT}", f"tcp sport {S3_PORT}"):
        yield


@asynccontextmanager
async def objects(installation: Installed) -> AsyncIterator[S3]:
    """The store, by the control plane's own keys."""
    settings = load(installation.instance, {})
    cloud = settings.cloud("local")
    assert cloud is not None
    store = open_store(cloud, settings, patience=5)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def damaged(installation: Installed, key: str) -> AsyncIterator[None]:
    """Meanwhile that object has another content of the same length."""
    async with objects(installation) as store:
        good = await store.get(key)
        middle = len(good) // 2
        await store.put(key, good[:middle] + bytes(255 - byte for byte in good[middle:]))
        try:
            yield
        finally:
            await store.put(key, good)


async def failed(store: Store, within: float) -> str:
    """Why it was not made."""

    async def given_up() -> str | None:
        status, why = await store.status()
        assert status in ("CREATING_CLUSTER", "DEPLOY_FAILED"), (status, why)
        return why if status == "DEPLOY_FAILED" else None

    return str(await eventually(given_up, within, every=0.5, what="the restore has failed"))


async def left_nothing(store: Store, local: LocalSide) -> None:
    assert await local.of(await store.short_id()) == []
    assert await store.kept_secrets() == []
    kept = "select 1 from secrets.secret where scope = %s"
    assert await store.tenant.installed.query(kept, [f"origin:{store.uuid}"]) == []


async def kill(store: Store, local: LocalSide, node: int, generation: int = 1) -> None:
    """Ends the node's machine as a failing host would."""
    await local.cloud.kill(f"ccx-{store.tenant.installed.instance}-{await store.short_id()}-n{node}-{generation}")


async def test_a_machine_that_dies_while_it_is_restored_fails_that_soon_by_its_name_and_leaves_nothing(
    source: Store, local: LocalSide
) -> None:
    restored = await source.restore("lost")
    await restored.reached("restore_datastore", "start")
    async with store_away(local):  # so that it is in the middle
        await restored.reached("restore_datastore", "restore")
        await kill(restored, local, 1)
        why = await failed(restored, SOON)
    assert "the machine of n1g1 stopped" in why
    await left_nothing(restored, local)
    await source.until_started(CREATED_WITHIN)


async def test_a_replicas_machine_that_dies_before_all_is_whole_fails_the_restore_soon_and_leaves_nothing(
    source: Store, local: LocalSide
) -> None:
    restored = await source.restore("three", cluster_size=3)
    await restored.reached("restore_datastore", "restore")
    await kill(restored, local, 3)
    why = await failed(restored, FAILED_WITHIN)
    assert "the machine of n3g1 stopped" in why
    await left_nothing(restored, local)


async def test_a_machine_that_dies_while_it_is_restored_in_place_leaves_what_was_there_serving(
    source: Store, local: LocalSide, folder: Path
) -> None:
    await source.until_started(CREATED_WITHIN)
    nodes = [one["host_uuid"] for one in await source.nodes()]
    resources = await local.of(await source.short_id())
    writer = await source.writer(folder)
    await asyncio.to_thread(writer.start)
    try:
        await source.tenant.call("POST", f"{BACKUPS}/{source.uuid}/restore", {"in_place": True})
        await source.reached("restore_in_place", "start")
        async with store_away(local):
            await source.reached("restore_in_place", "restore")
            await kill(source, local, 1, generation=2)

            async def ended() -> dict[str, Any] | None:
                job = await source.job("JOB_TYPE_RESTORE_IN_PLACE")
                return job if job["finished_at"] else None

            job = await eventually(ended, SOON, every=0.5, what="the restore has ended")
        await asyncio.to_thread(writer.wait_for, 50, 10)
    finally:
        await asyncio.to_thread(writer.stop)
    assert job["state"] == "failed"
    assert "the machine of n1g2 stopped" in job["error"]
    assert writer.gap() < LONGEST_PAUSE_S
    with await asyncio.to_thread(psycopg.connect, **await source.read_write(folder)) as connection:
        assert writer.lost(connection) == []
    assert [one["host_uuid"] for one in await source.nodes()] == nodes
    assert await local.of(await source.short_id()) == resources
    await source.until_started(CREATED_WITHIN)


@pytest.mark.parametrize("during", ["copying the backup", "replaying the log"])
async def test_a_store_that_is_killed_in_the_middle_of_a_restore_is_outlived_and_nothing_is_missing(
    source: Store, installation: Installed, folder: Path, during: str
) -> None:
    """It needs up to 24 s to come back. A log that can't be read meanwhile has not ended."""
    await source.until_started(CREATED_WITHIN)
    restored = await source.restore(f"through-{during.split()[0]}")
    await restored.reached("restore_datastore", "restore")

    async def so_far() -> bool:
        job = await restored.job("JOB_TYPE_DEPLOY_DATASTORE")
        told = next(step["progress"] for step in job["steps"] if step["name"] == "restore")
        assert not job["finished_at"], job
        return during.startswith("copying") or (told is not None and told["note"].startswith(during))

    await eventually(so_far, CREATED_WITHIN, every=0.1, what=during)
    pid = installation.pid("s3")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await restored.until_started(RESTORED_WITHIN)
    assert await rows(restored, folder) == list(range(SEGMENTS))
    await restored.delete()


async def test_a_damaged_object_of_the_backup_fails_a_restore_that_meets_it(
    source: Store, local: LocalSide, installation: Installed
) -> None:
    async with objects(installation) as store:
        found = await store.list(f"datastores/{await source.short_id()}/backup/")
    largest = max((one for one in found if "/bundle/" in one.key), key=lambda one: one.size)
    async with damaged(installation, largest.key):
        restored = await source.restore("spoiled")
        why = await failed(restored, FAILED_WITHIN)
    assert "the restore failed on n1g1" in why
    await left_nothing(restored, local)


async def test_a_damaged_segment_of_the_log_fails_a_restore_that_needs_it_and_no_other(
    source: Store, local: LocalSide, installation: Installed, folder: Path
) -> None:
    """It must not look like the log's end: the datastore would be there, without what came after."""
    async with objects(installation) as store:
        found = await store.list(f"datastores/{await source.short_id()}/archive/")
    segments = sorted(one.key for one in found if len(one.key.rsplit("/", 1)[-1].split("-")[0]) == 24
                      and ".backup" not in one.key)  # fmt: skip
    middle = segments[len(segments) // 2]
    async with damaged(installation, middle):
        needs_it = await source.restore("gap")
        why = await failed(needs_it, FAILED_WITHIN)
        assert f'the restore failed on n1g1: could not restore file "{middle.rsplit("/", 1)[-1][:24]}"' in why
        await left_nothing(needs_it, local)
        without = await source.restore("as-it-was", backup_id=await newest_backup(source))
        await without.until_started(RESTORED_WITHIN)
    await without.delete()


async def newest_backup(store: Store) -> str:
    return str((await store.call("GET", BACKUPS))["backups"][0]["backup_id"])


async def test_two_restores_without_a_name_at_the_same_moment_are_two_datastores(source: Store) -> None:
    await source.until_started(CREATED_WITHIN)
    path = f"{BACKUPS}/{source.uuid}/restore"
    made = await asyncio.gather(*(source.tenant.call("POST", path, {}) for _ in range(2)))
    assert len({one["cluster_name"] for one in made}) == 2
    for one in made:
        await Store(source.tenant, one["uuid"]).delete()


async def test_without_the_store_a_datastore_is_deleted_but_for_its_keys_there_and_says_so(
    tenant: Tenant, installation: Installed, local: LocalSide
) -> None:
    """Nothing is left that costs money or serves; the keys are taken back when the store answers."""
    store = await tenant.create("goes", 1)
    await backed_up(store)
    async with store_away(local), on_loopback(installation, S3_PORT):
        await store.call("DELETE", "prov/api/v2/cluster")

        async def says_so() -> str | None:
            status, why = await store.status()
            assert status == "DELETING"
            return why or None

        why = await eventually(says_so, SOON, every=0.5, what="what it waits for")
        assert "'backup keys'" in why
        assert "the object store" in why
        assert await local.of(await store.short_id()) == []
    await store.until_deleted()
    assert (await store.call("GET", BACKUPS))["total"] == 1
