"""Backups for real: of a datastore on the local cloud, by pgBackRest, into the object store of ``ccx up``."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.secret_search import VaultWatch
from tests.e2e.tenant import CREATED_WITHIN, Store, Tenant, execute, operator, select

from ccx.embedded.object_store import credentials_file
from ccx.settings import load
from ccx.storage.base import Credentials, WrongKeys
from ccx.storage.opened import location_of, open_store
from ccx.storage.s3 import S3

BACKUPS = "backup/api/v1/backups"
PLAIN = (8080, 8888, 9333, 18080, 18333, 18888, 19333)


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    return await tenant.create("kept", 1)


async def back_up(store: Store, kind: str) -> dict[str, Any]:
    """Makes one, and returns the newest of the list then."""
    job = (await store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"]

    async def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
        return found if found["status"] != "JOB_STATUS_RUNNING" else None

    done = await eventually(ended, within=120, what="the backup ends")
    assert done["status"] == "JOB_STATUS_FINISHED", done
    newest: dict[str, Any] = (await store.call("GET", BACKUPS))["backups"][0]
    return newest


async def test_the_store_can_hold_backups_and_only_its_tls_port_is_open(installation: Installed) -> None:
    async with operator(installation) as boss:
        checked = await boss.call("POST", "admin/storage/check")
    assert [one for one in checked["stores"][0]["tried"] if one["needed"] and not one["ok"]] == []
    for port in PLAIN:
        with pytest.raises(OSError, match="timed out"):
            await asyncio.to_thread(socket.create_connection, (str(installation.layout.control), port), 0.5)


async def test_the_stores_keys_stand_in_no_argument_and_no_environment(installation: Installed) -> None:
    secret = credentials_file(installation.layout).read_text().split()[1]
    pid = installation.pid("s3")
    shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    assert secret.encode() not in shown
    assert credentials_file(installation.layout).stat().st_mode & 0o077 == 0


async def test_an_incremental_backup_builds_on_the_full_one_and_the_log_is_archived(store: Store, folder: Path) -> None:
    assert (await store.call("GET", BACKUPS))["total"] == 0
    first = await back_up(store, "incremental")  # there is nothing to build on
    assert (first["backup_type"], first["status"]) == ("full", "completed")
    primary = (await store.parameters(folder))[0]
    second = await back_up(store, "incremental")
    assert (second["backup_type"], second["parent_id"]) == ("incremental", first["backup_id"])
    assert second["stored"] < first["stored"]

    assert await select(primary, "select current_setting('archive_timeout')") == "50s"
    archived = await select(primary, "select archived_count from pg_stat_archiver")
    assert archived >= 2
    assert await select(primary, "select failed_count from pg_stat_archiver") == 0


async def test_a_restore_to_a_time_has_what_was_committed_until_then_and_nothing_later(
    store: Store, folder: Path
) -> None:
    primary = (await store.parameters(folder))[0]
    await execute(primary, "create table kept as select 1 as n")
    await asyncio.sleep(1)
    at = await select(primary, "select now()")
    await asyncio.sleep(1)
    await execute(primary, "insert into kept values (2)")

    with pytest.raises(AssertionError, match="that time is not yet"):
        await store.restore("later", at + timedelta(hours=1))
    with pytest.raises(AssertionError, match="the first backup ended"):
        await store.restore("earlier", at - timedelta(days=1))
    restored = await store.restore("as-it-was", at)
    await restored.until_started(CREATED_WITHIN)

    theirs = (await restored.parameters(folder))[0]
    assert await select(theirs, "select array_agg(n order by n) from kept") == [1]
    assert await select(primary, "select array_agg(n order by n) from kept") == [1, 2]
    # It is a datastore of its own from now on, and has no way to the other one's backups.

    async def own() -> bool:
        return [b["backup_type"] for b in (await restored.call("GET", BACKUPS))["backups"]] == ["full"]

    await eventually(own, within=120, what="its own first backup, and no other, is listed")
    assert await select(theirs, "select current_setting('archive_command')") != await select(
        primary, "select current_setting('archive_command')"
    )
    scopes = await restored.tenant.installed.query("select scope from secrets.secret where scope like 'origin:%%'")
    assert scopes == []


async def test_backups_outlive_their_datastore_and_its_keys_do_not(store: Store, installation: Installed) -> None:
    settings = load(installation.instance, {})
    cloud = settings.cloud("local")
    assert cloud is not None
    short = await store.short_id()
    own = S3(location_of(cloud), await _keys_of(installation, store), patience=5)
    assert await own.list(f"datastores/{short}/backup/")

    await store.delete()

    everything = open_store(cloud, settings, patience=5)
    assert await everything.list(f"datastores/{short}/backup/")
    with pytest.raises(WrongKeys):
        await own.list(f"datastores/{short}/backup/")
    await own.close()
    await everything.close()


async def _keys_of(installation: Installed, store: Store) -> Credentials:
    watch = VaultWatch(installation)
    async with watch.always():
        await watch.look()
    found = {name.removeprefix(f"backups:{store.uuid} "): value for name, value in watch.seen.items()}
    return Credentials(found["access_key"], found["secret_key"])
