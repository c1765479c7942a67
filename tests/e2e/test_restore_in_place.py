"""A restore under the same names: what was lost is there again, and the way back stays open."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant, execute, select
from tests.e2e.test_restore import BACKUPS, backed_up, tear

from ccx.settings import load
from ccx.storage.opened import open_store

pytestmark = pytest.mark.slow
LONGEST_PAUSE_S = 3.0


async def done(store: Store, kind: str) -> None:
    async def ended() -> bool:
        job = await store.job(kind)
        assert job["status"] != "JOB_STATUS_ERRORED", job
        return bool(job["status"] == "JOB_STATUS_FINISHED")

    await eventually(ended, within=CREATED_WITHIN, what=f"{kind} has ended")


async def rows(store: Store, folder: Path) -> list[int]:
    """Of each node: all have the same."""
    found = [await select(one, "select array_agg(n order by n) from kept") for one in await store.parameters(folder)]
    assert [other for other in found if other != found[0]] == []
    first: list[int] = found[0]
    return first


async def order(store: Store, **target: object) -> None:
    await store.tenant.call("POST", f"{BACKUPS}/{store.uuid}/restore", {"in_place": True, **target})


async def test_a_dropped_table_is_back_under_the_same_name_and_the_way_back_stays_open(
    tenant: Tenant, folder: Path
) -> None:
    store = await backed_up(tenant, "in-place", folder)
    primary = (await store.parameters(folder))[0]
    at = await select(primary, "select now()")
    await asyncio.sleep(1)
    await execute(primary, "drop table kept")

    where = f"{BACKUPS}/{store.uuid}/restore"
    await order(store, pitr_stop_time=at.isoformat())
    await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
    assert await rows(store, folder) == [1, 2]

    await tenant.call("POST", f"{where}/undo")
    await done(store, "JOB_TYPE_UNDO_RESTORE")
    primary = (await store.parameters(folder))[0]
    assert await select(primary, "select to_regclass('kept') is null")


async def test_three_nodes_go_back_to_just_before_a_place_in_the_log_and_then_before_a_transaction(
    tenant: Tenant, local: LocalSide, folder: Path
) -> None:
    store = await backed_up(tenant, "three", folder, nodes=3)
    before, names = {one["hostname"] for one in await store.nodes()}, await names_of(store)
    primary = await store.read_write(folder)
    place = await select(primary, "select pg_current_wal_insert_lsn()::text")
    await execute(primary, "drop table kept")

    async with store.watching() as seen:
        await order(store, pitr_stop_lsn=place)
        await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
    assert await rows(store, folder) == [1, 2]
    assert await names_of(store) == names
    assert sorted(one["role"] for one in await store.nodes()) == ["primary", "replica", "replica"]
    assert before.isdisjoint(one["hostname"] for one in await store.nodes())
    assert any("serves until the restored data take over" in why for _, why in seen)
    assert "is kept, turned off, until" in (await store.status())[1]
    assert len(await servers(local, store)) == 6

    await tenant.call("POST", f"{BACKUPS}/{store.uuid}/restore/confirm")
    await done(store, "JOB_TYPE_CONFIRM_RESTORE")
    assert len(await servers(local, store)) == 3
    assert await store.status() == ("STARTED", "")

    # What the new branch is made of can be gone back on as well, once it has a backup of its own.
    async def backed_up_again() -> bool:
        return bool((await store.call("GET", BACKUPS))["total"] == 2)

    await eventually(backed_up_again, within=120, what="the new branch is backed up")
    primary = await store.read_write(folder)
    await execute(primary, "insert into kept values (3)")
    gone = await select(primary, "with gone as (delete from kept returning 1) select pg_current_xact_id()::text")
    assert await rows_left(primary) == 0
    await order(store, pitr_stop_xid=int(gone))
    await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
    assert await rows(store, folder) == [1, 2, 3]


async def test_a_former_branch_is_removed_from_the_store_when_nothing_that_is_kept_needs_it(
    tenant: Tenant, folder: Path, installation: Installed
) -> None:
    store = await backed_up(tenant, "former", folder)
    await order(store)
    await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
    await tenant.call("POST", f"{BACKUPS}/{store.uuid}/restore/confirm")
    await done(store, "JOB_TYPE_CONFIRM_RESTORE")
    short = await store.short_id()
    assert {f"archive/{short}", f"backup/{short}"} <= await in_store(installation, short)

    policy = f"backup/api/v1/policies/{store.uuid}"
    await tenant.call("PUT", policy, {"keep_days": 0, "keep_full": 1})
    begun = await store.call("POST", BACKUPS, {"backup_type": "full"})
    await eventually(lambda: ended(store, begun["job_id"]), within=CREATED_WITHIN, what="the backup's job has ended")

    assert await in_store(installation, short) == {f"archive/{short}-1", f"backup/{short}-1"}
    assert (await store.call("GET", BACKUPS))["total"] == 1
    await order(store)
    await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
    assert await rows(store, folder) == [1, 2]


@pytest.mark.timeout(900)
async def test_a_restore_in_place_that_fails_leaves_what_was_there_serving(
    tenant: Tenant, local: LocalSide, folder: Path, installation: Installed
) -> None:
    store = await backed_up(tenant, "unharmed", folder)
    short, nodes = await store.short_id(), [one["host_uuid"] for one in await store.nodes()]
    resources = await local.of(short)
    await tear(installation, store)

    async def failed() -> bool:
        job = await store.job("JOB_TYPE_RESTORE_IN_PLACE")
        assert job["status"] != "JOB_STATUS_FINISHED"
        return bool(job["status"] == "JOB_STATUS_ERRORED")

    writer = await store.writer(folder)
    await asyncio.to_thread(writer.start)
    try:
        await order(store)
        await eventually(failed, within=600, what="the restore has failed")
        await asyncio.to_thread(writer.wait_for, 50, 10)
    finally:
        await asyncio.to_thread(writer.stop)

    assert "the restore failed on" in (await store.job("JOB_TYPE_RESTORE_IN_PLACE"))["error"]
    assert writer.gap() < LONGEST_PAUSE_S
    with await asyncio.to_thread(psycopg.connect, **await store.read_write(folder)) as connection:
        assert writer.lost(connection) == []
    assert [one["host_uuid"] for one in await store.nodes()] == nodes
    assert await local.of(short) == resources
    assert (await store.status())[0] == "STARTED"


async def names_of(store: Store) -> tuple[str, str]:
    told = await store.connection()
    return told["primary"], told["replicas"]


async def rows_left(primary: dict[str, str]) -> int:
    left: int = await select(primary, "select count(*) from kept")
    return left


async def servers(local: LocalSide, store: Store) -> list[str]:
    return [one for one in await local.of(await store.short_id()) if one.startswith("server ")]


async def ended(store: Store, job: str) -> bool:
    found = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
    assert found["status"] != "JOB_STATUS_ERRORED", found
    return bool(found["status"] == "JOB_STATUS_FINISHED")


async def in_store(installation: Installed, short: str) -> set[str]:
    """The logs and backups that the store has of a datastore: ``archive/…``, ``backup/…``."""
    settings = load(installation.instance, {})
    cloud = settings.cloud("local")
    assert cloud is not None
    objects, prefix = open_store(cloud, settings, patience=5), f"datastores/{short}/"
    found = await objects.list(prefix)
    await objects.close()
    return {"/".join(one.key.removeprefix(prefix).split("/")[:2]) for one in found}
