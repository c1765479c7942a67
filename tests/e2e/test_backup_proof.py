"""Backups that are proved: damage in the store is found and named, drills compare rows, and deletion leaves nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant, execute, operator

from ccx.settings import load
from ccx.storage.opened import open_store
from ccx.storage.s3 import S3

BACKUPS = "backup/api/v1/backups"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def objects(installation: Installed) -> Any:
    settings = load(installation.instance, {})
    cloud = settings.cloud("local")
    assert cloud is not None
    store = open_store(cloud, settings, patience=5)
    yield store
    await store.close()


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    return await tenant.create("proved", 1)


async def ended(store: Store, job: str, within: float = 180) -> None:
    async def done() -> dict[str, Any] | None:
        found: dict[str, Any] = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
        return found if found["status"] != "JOB_STATUS_RUNNING" else None

    found = await eventually(done, within=within, what="the job ends")
    assert found["status"] == "JOB_STATUS_FINISHED", found


async def back_up(store: Store, kind: str) -> dict[str, Any]:
    await ended(store, (await store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"])
    newest: dict[str, Any] = (await store.call("GET", BACKUPS))["backups"][0]
    return newest


async def verify(store: Store) -> dict[str, dict[str, Any]]:
    """What is listed after everything was read, by backup."""
    path = f"{BACKUPS}/{store.uuid}/verify"
    await ended(store, (await store.tenant.call("POST", path, {}))["job_id"])
    return {one["backup_id"]: one for one in (await store.call("GET", BACKUPS))["backups"]}


async def proof(store: Store) -> dict[str, Any]:
    found: dict[str, Any] = await store.tenant.call("GET", f"backup/api/v1/proof/{store.uuid}")
    return found


async def test_a_drill_finds_each_row_that_was_counted_and_the_report_says_so(
    store: Store, installation: Installed, local: LocalSide, folder: Path
) -> None:
    primary = (await store.parameters(folder))[0]
    await execute(primary, "create table kept as select n from generate_series(1, 1000) n")
    backup = await back_up(store, "full")
    assert backup["rows"] == 1000
    assert backup["verified_at"] is not None
    await execute(primary, "insert into kept select n from generate_series(1, 50) n")  # after the count

    begun = await store.tenant.call("POST", f"{BACKUPS}/{store.uuid}/drill")

    async def drilled() -> dict[str, Any] | None:
        found: dict[str, Any] | None = (await store.call("GET", BACKUPS))["backups"][0]["drill"]
        return found

    found = await eventually(drilled, within=CREATED_WITHIN, what="the drill's outcome")
    assert found["proved"], found
    assert (found["rows"], found["exact"]) == (1000, True)
    told = await proof(store)
    assert told["proved_backup_id"] == backup["backup_id"]
    assert told["recovery_seconds"] == found["seconds"]

    async def archived() -> bool:
        at = (await proof(store))["recovery_point"]
        return at is not None and datetime.fromisoformat(at) > datetime.fromisoformat(backup["started_at"])

    await eventually(archived, within=90, what="the recovery point")
    async with operator(installation) as boss:
        text = (await boss.http.get("/metrics")).text
    assert f'ccx_recovery_seconds{{cloud="local",datastore="{store.uuid}",name="proved"}} {found["seconds"]}' in text

    short = await Store(store.tenant, begun["drill_uuid"]).short_id()

    async def removed() -> bool:
        return await local.of(short) == []

    await eventually(removed, within=60, what="the throw-away node is removed")


async def test_a_corrupted_and_a_missing_object_are_named_and_what_depends_on_them_is_refused(
    store: Store, objects: S3
) -> None:
    full = await back_up(store, "full")
    incremental = await back_up(store, "incremental")
    assert {one["status"] for one in (await verify(store)).values()} == {"completed"}

    short = await store.short_id()
    bundles = [o for o in await objects.list(f"datastores/{short}/backup/") if f"/{full['backup_id']}/bundle/" in o.key]
    torn = bytearray(await objects.get(bundles[0].key))
    torn[len(torn) // 2] ^= 0xFF
    await objects.put(bundles[0].key, bytes(torn))
    await objects.delete(bundles[-1].key)
    listed = await verify(store)
    for bundle in {bundles[0], bundles[-1]}:
        assert bundle.key.split("/", 4)[-1] in listed[full["backup_id"]]["err"]
    assert listed[incremental["backup_id"]]["err"].startswith(f"it builds on {full['backup_id']}: ")
    assert [one["status"] for one in listed.values()][:2] == ["unusable", "unusable"]

    for label in (full["backup_id"], incremental["backup_id"]):
        refused = await store.tenant.answer("POST", f"{BACKUPS}/{store.uuid}/restore", {"backup_id": label})
        assert refused.status_code == 422
        assert "can't be restored" in refused.json()["err"]
    dry = await store.tenant.call("POST", f"{BACKUPS}/{store.uuid}/restore", {"dry_run": True})
    assert dry["backup_id"] not in (full["backup_id"], incremental["backup_id"])

    # Nothing builds on what is damaged.
    after = await back_up(store, "incremental")
    assert (after["backup_type"], after["status"]) == ("full", "completed")


async def test_a_gap_in_the_log_ends_what_can_be_restored_until_the_next_backup(
    store: Store, objects: S3, folder: Path
) -> None:
    primary = (await store.parameters(folder))[0]
    before = await back_up(store, "full")
    for n in range(3):
        await execute(primary, f"insert into kept values ({n})")
        await back_up(store, "incremental")
    after = await back_up(store, "full")
    short, last = await store.short_id(), ""
    ends = await store.tenant.installed.query(
        "select wal_last from stores.backup where datastore_id = %s and label = %s", [store.uuid, before["backup_id"]]
    )
    last = ends[0][0]
    log = [o for o in await objects.list(f"datastores/{short}/archive/") if "-" in o.key.rsplit("/", 1)[-1]]
    missing = next(o for o in log if o.key.rsplit("/", 1)[-1][:24] > last)
    await objects.delete(missing.key)

    listed = await verify(store)
    assert listed[after["backup_id"]]["log_until"] is None
    assert listed[before["backup_id"]]["log_until"] is not None
    assert listed[before["backup_id"]]["status"] == "completed"


async def test_deleting_backups_with_their_datastore_leaves_nothing_in_the_store(
    store: Store, objects: S3, installation: Installed
) -> None:
    short = await store.short_id()
    assert await objects.list(f"datastores/{short}/")
    refused = await store.tenant.answer("DELETE", f"prov/api/v2/cluster/{store.uuid}?delete_backups=true&confirm=other")
    assert (refused.status_code, refused.json()["field"]) == (422, "confirm")
    await store.tenant.call("DELETE", f"prov/api/v2/cluster/{store.uuid}?delete_backups=true&confirm=proved")
    await store.until_deleted()
    await store.tenant.call("DELETE", f"{BACKUPS}/{store.uuid}?confirm=proved")

    async def removed() -> bool:
        sealed = await installation.query("select 1 from secrets.secret where scope = %s", [f"backups:{store.uuid}"])
        return sealed == [] and (await store.call("GET", BACKUPS))["total"] == 0

    await eventually(removed, within=90, what="the backups are removed")
    assert await objects.list(f"datastores/{short}/") == []
