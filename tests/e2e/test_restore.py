"""Datastores that come back: a deleted one, bigger than it was; and a restore that can't be, which leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant, execute, select

from ccx.settings import load
from ccx.storage.opened import open_store

BACKUPS = "backup/api/v1/backups"

pytestmark = pytest.mark.slow


async def backed_up(tenant: Tenant, name: str, folder: Path, nodes: int = 1) -> Store:
    """A datastore with a backup, and a row that is in its log only."""
    store = await tenant.create(name, nodes)
    primary = await store.read_write(folder)
    await execute(primary, "create table kept as select 1 as n")
    await store.call("POST", BACKUPS, {"backup_type": "full"})

    async def listed() -> bool:
        return bool((await store.call("GET", BACKUPS))["total"])

    await eventually(listed, within=120, what="the backup is listed")
    await execute(primary, "insert into kept values (2)")
    return store


async def test_a_deleted_datastore_comes_back_with_its_last_write_on_three_nodes(tenant: Tenant, folder: Path) -> None:
    store = await backed_up(tenant, "gone", folder)
    await store.delete()
    dry = await tenant.call("POST", f"{BACKUPS}/{store.uuid}/restore", {"cluster_size": 3, "dry_run": True})
    assert (dry["uuid"], dry["cluster_size"]) == (None, 3)

    back = await store.restore("gone", cluster_size=3)
    await back.until_started(CREATED_WITHIN)

    for node in await back.parameters(folder):
        assert await select(node, "select array_agg(n order by n) from kept") == [1, 2]
    assert len(await back.nodes()) == 3


async def test_a_drill_proves_the_newest_backup_and_leaves_nothing(
    tenant: Tenant, local: LocalSide, folder: Path
) -> None:
    store = await backed_up(tenant, "proved", folder)
    begun = await tenant.call("POST", f"{BACKUPS}/{store.uuid}/drill")

    async def drilled() -> dict[str, Any] | None:
        found: dict[str, Any] | None = (await store.call("GET", BACKUPS))["backups"][0]["drill"]
        return found

    found = await eventually(drilled, within=CREATED_WITHIN, what="the drill's outcome")
    assert found["proved"], found
    assert found["seconds"] > 0
    assert found["tables"] == 1

    drill = Store(tenant, begun["drill_uuid"])
    short = await drill.short_id()

    async def ended() -> bool:
        return (await drill.job("JOB_TYPE_RESTORE_DRILL"))["status"] == "JOB_STATUS_FINISHED"

    await eventually(ended, within=60, what="it is removed")
    assert await local.of(short) == []
    assert await drill.kept_secrets() == []


async def test_a_drill_comes_by_its_schedule_and_proves_the_newest_backup(tenant: Tenant, folder: Path) -> None:
    store = await backed_up(tenant, "by-schedule", folder)
    await store.call("PUT", "backup/api/v1/policies", {"drill": "* * * * *"})

    async def ordered() -> bool:
        return any(job["type"] == "JOB_TYPE_SCHEDULED_DRILL" for job in await store.jobs())

    await eventually(ordered, within=120, every=1, what="the schedule orders a drill")
    await store.call("PUT", "backup/api/v1/policies", {})

    async def drilled() -> dict[str, Any] | None:
        # Of the backup that was the newest then: another may have come by its schedule.
        backups = (await store.call("GET", BACKUPS))["backups"]
        return next((one["drill"] for one in backups if one["drill"]), None)

    found = await eventually(drilled, within=CREATED_WITHIN, every=1, what="the drill's outcome")
    assert found["proved"], found
    proof = await store.call("GET", "backup/api/v1/proof")
    assert proof["recovery_seconds"] == found["seconds"]


async def test_a_log_that_does_not_get_into_the_store_is_told_within_two_minutes_and_when_it_does_again(
    tenant: Tenant, local: LocalSide, folder: Path
) -> None:
    store = await backed_up(tenant, "cut-off", folder)
    primary = (await store.parameters(folder))[0]

    async def says(status: str, why: str) -> bool:
        now = await store.status()
        return now[0] == status and why in now[1]

    async with local.dropping("tcp dport 8333"):
        await execute(primary, "insert into kept values (3)")
        # The part of the log is ended after a minute; from then on it waits.
        await eventually(lambda: says("DEGRADED", "into the object store"), within=60 + 120, what="the reason")
        await execute(primary, "insert into kept values (4)")
    await eventually(lambda: says("STARTED", ""), within=120, what="all is well again")


async def tear(installation: Installed, store: Store) -> None:
    """The content of its backups is gone from the store, and nobody knows yet."""
    settings = load(installation.instance, {})
    cloud = settings.cloud("local")
    assert cloud is not None
    objects = open_store(cloud, settings, patience=5)
    for one in await objects.list(f"datastores/{await store.short_id()}/backup/"):
        if "/bundle/" in one.key:
            await objects.delete(one.key)
    await objects.close()


@pytest.mark.timeout(600)
async def test_a_restore_that_fails_says_why_and_leaves_nothing(
    tenant: Tenant, local: LocalSide, folder: Path, installation: Installed
) -> None:
    store = await backed_up(tenant, "torn", folder)
    await tear(installation, store)

    restored = await store.restore("never")
    short = await restored.short_id()

    async def failed() -> bool:
        return (await restored.status())[0] == "DEPLOY_FAILED"

    await eventually(failed, within=420, what="the restore has failed")
    assert "the restore failed on n1g1" in (await restored.status())[1]
    assert await local.of(short) == []
    assert await installation.query("select 1 from secrets.secret where scope like 'origin:%%'") == []
    assert (await store.status())[0] == "STARTED"
