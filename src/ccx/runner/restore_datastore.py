"""Creates a datastore out of the backups of another one, which may be gone. That one is left as it is."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.cmon.backup import Kind
from ccx.jobs import Job, operation
from ccx.runner.create_datastore import build, give_up
from ccx.runner.services import Services
from ccx.runner.steps import restores
from ccx.runner.subject import Subject
from ccx.stores import datastores, nodes

FORM = timedelta(hours=12)
"""The replicas copy all of it."""


@operation("restore_datastore", deadline=timedelta(hours=24), on_failed=give_up)
async def restore_datastore(job: Job, datastore_id: str, label: str) -> None:
    """A creation whose first member is made from a backup. A backup of its own follows, called ``label`` in the API."""
    services: Services = job.services
    await job.step("end of the log", restores.mark(services, datastore_id), timeout=150)
    await job.step("keys", restores.grant(services, datastore_id), undo=restores.revoke(services, datastore_id))
    await build(job, datastore_id, restores.follow(services, datastore_id), FORM)
    subject = await Subject.load(services, datastore_id)
    for node in nodes.members(subject.datastore):
        await job.step(f"forget {node.label}", restores.forget(services, datastore_id, node.id))
    await job.step("end of keys", restores.revoke(services, datastore_id))

    async def back_up(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        owner = (datastore.owner_type, datastore.owner_id)
        args = {"datastore_id": datastore_id, "kind": Kind.FULL.value}
        await jobs.enqueue(tx, "backup_datastore", key=datastore_id, args=args, owner=owner, label=label)

    await job.transaction("back up", back_up)
