"""Backups in a bucket with object lock: the real store keeps them, whoever wants them gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e.machine import Installed, eventually
from tests.e2e.tenant import Store, Tenant, execute, signed_up

from ccx.settings import load
from ccx.storage.opened import credentials_of, location_of
from ccx.storage.s3 import client

BACKUPS = "backup/api/v1/backups"
BUCKET = "locked"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
async def locking(new_installation: Installed) -> AsyncIterator[Any]:
    """A control plane whose backups are locked for a day; and the store, with the control plane's own keys."""
    bucket = (f"clouds.local.s3_bucket={BUCKET}", "clouds.local.s3_lock_days=1")
    await new_installation.up(*(word for change in bucket for word in ("--set", change)))
    settings = load(new_installation.instance, {})
    cloud = settings.cloud("local")
    assert cloud is not None
    store = client("s3", location_of(cloud), credentials_of(cloud), "")
    await asyncio.to_thread(store.create_bucket, Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture(scope="module")
async def user(new_installation: Installed, locking: Any) -> AsyncIterator[Tenant]:
    async with signed_up(new_installation) as found:
        yield found


async def back_up(store: Store, kind: str) -> dict[str, Any]:
    job = (await store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"]

    async def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
        return found if found["finished_at"] else None

    done = await eventually(ended, 240, every=0.5, what="the backup ends")
    assert done["state"] == "done", done
    newest: dict[str, Any] = (await store.call("GET", BACKUPS))["backups"][0]
    return newest


async def job_done(store: Store, kind: str) -> None:
    async def ended() -> bool:
        job = await store.job(kind)
        assert job["status"] != "JOB_STATUS_ERRORED", job
        return bool(job["status"] == "JOB_STATUS_FINISHED")

    await eventually(ended, 300, every=0.5, what=f"{kind} has ended")


async def versions(locking: Any, prefix: str) -> set[str]:
    """Keys below the prefix of which the store has any version, whether a list of objects shows it or not."""
    pages = locking.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=prefix)
    return await asyncio.to_thread(lambda: {one["Key"] for page in pages for one in page.get("Versions", ())})


async def unlock_in_our_books(installation: Installed, store: Store, branch: int) -> None:
    """As if the time were over for which we locked these: the store knows better."""
    statement = "update stores.backup set locked_until = now() where datastore_id = %s and branch = %s returning label"
    assert await installation.query(statement, [store.uuid, branch])


async def test_no_object_of_a_backup_can_be_deleted_before_its_time_not_even_by_the_control_plane(
    user: Tenant, locking: Any, folder: Path
) -> None:
    store = await user.create("kept", 1)
    await execute((await store.parameters(folder))[0], "create table kept as select 1 as n")
    before = datetime.now(UTC)
    full = await back_up(store, "full")
    more = await back_up(store, "incremental")
    for made in (full, more):
        assert datetime.fromisoformat(made["locked_until"]) > before + timedelta(days=1)

    prefix = f"datastores/{await store.short_id()}/backup/"
    listed = await asyncio.to_thread(locking.list_object_versions, Bucket=BUCKET, Prefix=prefix)
    # What the backup consists of; an older version of its manifest is no part of it, nor is the list of past manifests.
    tried = [one for one in listed["Versions"] if f"/{full['backup_id']}/" in one["Key"] and one["IsLatest"]]
    assert tried
    for one in tried:
        with pytest.raises(ClientError, match=r"AccessDenied|Access Denied"):
            await asyncio.to_thread(locking.delete_object, Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])

    until = max(datetime.fromisoformat(one["locked_until"]) for one in (await store.call("GET", BACKUPS))["backups"])
    await store.delete()
    removed = await user.call("DELETE", f"{BACKUPS}/{store.uuid}?confirm=kept")
    assert datetime.fromisoformat(removed["removed_at"]) >= until
    assert (await store.call("GET", BACKUPS))["total"] == 2


async def test_a_former_branch_stays_as_long_as_it_is_locked_and_what_the_store_does_not_give_up_fails_no_backup(
    user: Tenant, new_installation: Installed, locking: Any, folder: Path
) -> None:
    store = await user.create("branched", 1)
    short = await store.short_id()
    former = f"datastores/{short}/backup/{short}/"
    await execute((await store.parameters(folder))[0], "create table kept as select 1 as n")
    first = await back_up(store, "full")
    await user.call("POST", f"{BACKUPS}/{store.uuid}/restore", {"in_place": True})
    await job_done(store, "JOB_TYPE_RESTORE_IN_PLACE")
    await user.call("POST", f"{BACKUPS}/{store.uuid}/restore/confirm")
    await job_done(store, "JOB_TYPE_CONFIRM_RESTORE")
    await user.call("PUT", f"backup/api/v1/policies/{store.uuid}", {"keep_days": 0, "keep_full": 1})

    await back_up(store, "full")
    assert first["backup_id"] in {one["backup_id"] for one in (await store.call("GET", BACKUPS))["backups"]}
    before = await versions(locking, former)

    await unlock_in_our_books(new_installation, store, branch=0)
    newest = await back_up(store, "full")
    listed = {one["backup_id"] for one in (await store.call("GET", BACKUPS))["backups"]}
    assert first["backup_id"] not in listed
    assert newest["backup_id"] in listed
    still = await versions(locking, former)
    assert {key for key in before if f"/{first['backup_id']}/" in key} <= still <= before


async def test_what_the_store_still_locks_of_a_deleted_datastore_stays_and_is_tried_again_the_next_day(
    user: Tenant, new_installation: Installed, locking: Any, folder: Path
) -> None:
    store = await user.create("gone", 1)
    await execute((await store.parameters(folder))[0], "create table kept as select 1 as n")
    full = await back_up(store, "full")
    prefix = f"datastores/{await store.short_id()}/"
    await store.delete()
    before = {key for key in await versions(locking, prefix) if f"/{full['backup_id']}/" in key}

    # As if the time were over in our books: the store knows better.
    statement = "update stores.datastore set backups_until = now() where id = %s returning id"
    assert await new_installation.query(statement, [store.uuid])
    await new_installation.kill_serve()  # who begins to lead looks at once for what is due

    async def put_off() -> bool:
        statement = "select backups_until > now() + interval '23 hours' from stores.datastore where id = %s"
        return bool((await new_installation.query(statement, [store.uuid]))[0][0])

    await eventually(put_off, 120, every=0.5, what="the removal is to be tried again the next day")
    assert before
    assert before <= await versions(locking, prefix)
    ended = "select status, error from jobs.job where kind = 'remove_backups' and key = %s"
    assert await new_installation.query(ended, [store.uuid]) == [("done", None)]
    listed = {one["backup_id"] for one in (await user.call("GET", BACKUPS))["backups"]}
    assert full["backup_id"] not in listed, "what may be gone tomorrow is not offered today"
