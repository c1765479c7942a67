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
