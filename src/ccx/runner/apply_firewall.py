"""Brings a datastore's firewall on the cloud to what the stores say."""

from __future__ import annotations

from datetime import timedelta

from ccx.jobs import Job, operation
from ccx.runner.steps import network
from ccx.runner.subject import Subject


@operation("apply_firewall", deadline=timedelta(minutes=10))
async def apply_firewall(job: Job, datastore_id: str) -> None:
    """One call: the cloud replaces the rules as a whole."""
    subject = await Subject.load(job.services, datastore_id)
    if not subject.datastore.is_gone:
        await job.step("apply", network.put_firewall(subject))
