"""Confirms a restore in place: what is kept of before is removed. Its backups stay, and can be restored as ever."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from ccx.jobs import Job, operation
from ccx.runner.delete_datastore import remove_machine
from ccx.runner.services import Services
from ccx.runner.steps import in_place, takeover
from ccx.runner.subject import Subject


@operation("confirm_restore", deadline=timedelta(hours=24))
async def confirm_restore(job: Job, datastore_id: str) -> None:
    """There is no way back from its first step on. Nothing to do where nothing is kept."""
    services: Services = job.services
    before = await job.transaction("before", takeover.members(datastore_id))
    if not before["kept"]:
        return
    subject = await Subject.load(services, datastore_id)
    await job.pivot("confirmed", in_place.nothing)
    await job.gather(*(remove_machine(job, subject, subject.node(UUID(m))) for m in before["kept"]))
    await job.transaction("forget", in_place.release_branch(services, datastore_id, before["of"]))
    await job.transaction("settled", takeover.settled(datastore_id))
