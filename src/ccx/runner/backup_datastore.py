"""Backs a datastore up. The first backup also gives it its keys, and begins to archive its log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.cmon.backup import Kind
from ccx.db import utc_now
from ccx.jobs import Job, JobRecord, Lane, operation
from ccx.runner.services import Services
from ccx.runner.steps import backups, former, locks, proof
from ccx.runner.subject import Subject
from ccx.stores import backups as stored
from ccx.stores import datastores
from ccx.stores.models import Desired

_FIRST_AGAIN = timedelta(minutes=15)


async def failed(tx: AsyncSession, job: JobRecord, error: dict[str, Any] | None) -> None:
    """Remembers why. Until there is a first backup nothing makes another by itself, so this one comes again."""
    datastore = await datastores.get(tx, UUID(job.args["datastore_id"]), for_update=True)
    if datastore.desired is Desired.ABSENT:
        return
    _, complete = await stored.of(tx, datastore.id, limit=1)
    again = None if complete else utc_now() + _FIRST_AGAIN
    why = (error or {}).get("err", "it was cancelled")
    datastore.backup_failed = {
        "at": utc_now().isoformat(), "err": why, "again": again.isoformat() if again else None,
    }  # fmt: skip
    if again is not None:
        await jobs.enqueue(
            tx, "backup_datastore", key=job.key, args=job.args, owner=(datastore.owner_type, datastore.owner_id),
            label=backups.SCHEDULED, dedup=True, run_at=again,
        )  # fmt: skip


@operation("backup_datastore", deadline=timedelta(hours=12), lane=Lane.SIDE, on_failed=failed)
async def backup_datastore(job: Job, datastore_id: str, kind: str) -> None:
    """Everything before the backup itself finds its work done, but for the first time and after a node was replaced.

    Nodes may be lost and replaced meanwhile, so it works with those that there are at each step; and it changes
    nothing on the cloud, where its token would make that of the repair stale.
    """
    services: Services = job.services
    subject = await Subject.load(services, datastore_id)
    if subject.datastore.is_gone:
        return

    await job.step("keys", backups.grant(services, datastore_id))
    await job.step("way", backups.configure(services, datastore_id), retry_for=600)
    await job.step("archive", backups.archive(services, datastore_id), timeout=240, retry_for=600)
    made = await job.step(
        "backup",
        backups.back_up(services, datastore_id, str(job.id), Kind(kind)),
        undo=backups.end(services, datastore_id, str(job.id)),
        timeout=600,
        retry_for=600,
    )
    # Before anything is removed for its sake, it is seen whether it is good.
    counted = await job.step("count", proof.count(services, datastore_id, f"ccx-{job.id}"), timeout=120)
    read = await job.step("read back", proof.read_back(services, datastore_id, str(job.id), made), timeout=900)
    await job.step("expire", backups.expire(services, datastore_id), timeout=600)
    found = await job.step("list", backups.look(services, datastore_id), timeout=200, retry_for=600)
    await job.transaction("record", backups.record(services, datastore_id, found, made["id"], counted))
    await job.transaction("verified", proof.record(services, datastore_id, read))
    if made["kind"] == Kind.FULL:
        gone = await job.transaction("former", former.forget(services, datastore_id))
        if gone:
            await job.step("remove former", former.remove(services, datastore_id, gone), timeout=600)
    locked = await job.step("lock", locks.lock(services, datastore_id, made["id"]), timeout=600)
    await job.transaction("locked", locks.record(datastore_id, locked))
