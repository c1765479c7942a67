"""The ways to the object store, blocked: what happens is what they promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.promises import promised
from tests.e2e.rows_blocked.datastore import on_loopback, shows, write
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store

from ccx.embedded.layout import S3_PORT

BACK_WITHIN = 120.0
BACKUP_ENDS_WITHIN = 600.0
ARCHIVES_WITHIN = 240.0


@pytest.mark.slow
async def test_a_first_backup_without_the_control_planes_way_to_the_store_fails_and_the_datastore_goes_on(
    kept: Store, installation: Installed, folder: Path
) -> None:
    promised("backup.own.internal", "first backups fail and say so", "datastores, go on")
    async with on_loopback(installation, S3_PORT):
        assert "object store" in await _backup_fails(kept)
        await write(kept, folder)
        await eventually(lambda: shows(kept, "DEGRADED"), ARCHIVES_WITHIN, every=1, what="it shows as DEGRADED")
    assert (await _back_up(kept))["status"] == "JOB_STATUS_FINISHED"
    await kept.until_started(BACK_WITHIN)


async def _backup_fails(store: Store) -> str:
    """With this error."""
    job = await _back_up(store)
    assert job["status"] == "JOB_STATUS_ERRORED", job
    return str(job["error"])


async def _back_up(store: Store) -> dict[str, Any]:
    """The job, when it has ended."""
    number = (await store.call("POST", "backup/api/v1/backups", {"backup_type": "full"}))["job_id"]

    async def ended() -> dict[str, Any] | None:
        path = f"deployment/v2/data-stores/{store.uuid}/jobs/{number}"
        job: dict[str, Any] = await store.tenant.call("GET", path)
        return job if job["finished_at"] else None

    job: dict[str, Any] = await eventually(ended, BACKUP_ENDS_WITHIN, every=1, what="the backup's job ends")
    return job


@pytest.mark.slow
async def test_a_backup_without_the_nodes_way_to_the_store_fails_and_the_datastore_goes_on(
    store: Store, local: LocalSide, nodes: str, control: str, folder: Path
) -> None:
    """The last of all: its log is archived again with the next backup, and until then it stays DEGRADED."""
    await store.until_started(REPAIRED_WITHIN)
    promised("backup.own.data", "backups and restores fail and say so", "datastores go on", "DEGRADED")
    async with local.dropping(f"ip saddr {nodes} ip daddr {control} tcp dport {S3_PORT}"):
        assert await _backup_fails(store)
        await write(store, folder)
        await eventually(lambda: shows(store, "DEGRADED"), ARCHIVES_WITHIN, every=1, what="it shows as DEGRADED")
