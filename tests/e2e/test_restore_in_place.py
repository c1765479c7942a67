"""A restore under the same names: what was lost is there again, and the way back stays open."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.e2e.machine import eventually
from tests.e2e.tenant import CREATED_WITHIN, Store, Tenant, execute, select
from tests.e2e.test_restore import BACKUPS, backed_up

pytestmark = pytest.mark.slow


async def done(store: Store, kind: str) -> None:
    async def ended() -> bool:
        job = await store.job(kind)
        assert job["status"] != "JOB_STATUS_ERRORED", job
        return bool(job["status"] == "JOB_STATUS_FINISHED")

    await eventually(ended, within=CREATED_WITHIN, what=f"{kind} has ended")


async def rows(store: Store, folder: Path) -> list[int]:
    found: list[int] = await select((await store.parameters(folder))[0], "select array_agg(n order by n) from kept")
    return found


async def test_a_dropped_table_is_back_under_the_same_name_and_the_way_back_stays_open(
    tenant: Tenant, folder: Path
) -> None:
    store = await backed_up(tenant, "in-place", folder)
    primary = (await store.parameters(folder))[0]
    at = await select(primary, "select now()")
    await asyncio.sleep(1)
    await execute(primary, "drop table kept")

    where = f"{BACKUPS}/{store.uuid}/restore"
    await tenant.call("POST", where, {"in_place": True, "pitr_stop_time": at.isoformat()})
    await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
    assert await rows(store, folder) == [1, 2]

    await tenant.call("POST", f"{where}/undo")
    await done(store, "JOB_TYPE_UNDO_RESTORE")
    primary = (await store.parameters(folder))[0]
    assert await select(primary, "select to_regclass('kept') is null")
