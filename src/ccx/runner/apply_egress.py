"""Brings what a datastore's nodes may connect to up to what the network contract says now."""

from __future__ import annotations

from datetime import timedelta

from ccx.jobs import Job, operation
from ccx.runner.steps import cluster, network
from ccx.runner.subject import Subject


@operation("apply_egress", deadline=timedelta(minutes=10))
async def apply_egress(job: Job, datastore_id: str) -> None:
    """On the cloud, and on each node, which loads its rules as a whole.

    One that is away is asked again with a later observation.
    """
    subject = await Subject.load(job.services, datastore_id)
    if not subject.datastore.is_gone:
        await job.step("firewall", network.put_firewall(subject))
        await job.step("apply", cluster.renew_egress(job.services, datastore_id))
