"""Reads all of a datastore's backups and log in the store, and marks what can't be restored, with the reason."""

from __future__ import annotations

from datetime import timedelta

from ccx.jobs import Job, Lane, operation
from ccx.runner.services import Services
from ccx.runner.steps import backups, proof
from ccx.runner.subject import Subject


@operation("verify_backups", deadline=timedelta(hours=24), lane=Lane.SIDE)
async def verify_backups(job: Job, datastore_id: str) -> None:
    """It is done when everything was read, whatever that found."""
    services: Services = job.services
    if (await Subject.load(services, datastore_id)).datastore.is_gone:
        return
    found = await job.step("list", backups.look(services, datastore_id))
    await job.transaction("known", backups.record(services, datastore_id, found))
    read = proof.read_through(services, datastore_id, str(job.id))
    told = await job.step("read", read, timeout=900, retry_for=600)
    await job.transaction("record", proof.record(services, datastore_id, told))
