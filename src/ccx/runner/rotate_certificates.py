"""Gives a datastore's nodes, and the control plane in it, new certificates of the same CA while it serves."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from ccx.jobs import Job, operation
from ccx.runner.services import Services
from ccx.runner.steps import certificates
from ccx.runner.subject import Subject


@operation("rotate_certificates", deadline=timedelta(minutes=60))
async def rotate_certificates(job: Job, datastore_id: str) -> None:
    """One node after the other: issued, installed, and only when the node shows it, remembered as the node's.

    Nothing is restarted, and whoever is connected stays connected.
    """
    services: Services = job.services
    subject = await Subject.load(services, datastore_id)
    if subject.datastore.is_gone:
        return
    members: list[str] = await job.transaction("control plane", certificates.renew_control(services, datastore_id))
    for node_id in map(UUID, members):
        label = subject.node(node_id).label
        await job.transaction(f"issue {label}", certificates.issue(services, datastore_id, node_id))
        await job.step(
            f"install {label}", certificates.install(services, datastore_id, node_id), timeout=120, retry_for=600
        )
        await job.transaction(f"keep {label}", certificates.keep(services, node_id))
