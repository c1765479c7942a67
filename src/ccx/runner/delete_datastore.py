"""Deletes a datastore in whatever state it is, and everything of it on the cloud. There is no way back."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.jobs import Job, Lane, operation
from ccx.runner.services import Services
from ccx.runner.steps import backups, network, reserve, restores, servers
from ccx.runner.subject import Subject, datastore_scope
from ccx.stores import datastores
from ccx.stores.models import Datastore, Node, Status


@operation("delete_datastore", deadline=timedelta(hours=24), lane=Lane.BOTH)
async def delete_datastore(job: Job, datastore_id: str) -> None:
    """Names first, so that nobody is sent to what is going; the log's end to the backups; last the secrets."""
    services: Services = job.services
    subject = await Subject.load(services, datastore_id)

    await job.pivot("names", network.remove_names(subject))
    await job.step("end of the log", restores.last_mark(subject))
    # Every node that ever was: to delete what is absent costs one call, to miss one costs money for ever.
    await job.gather(*(remove_machine(job, subject, node) for node in subject.datastore.nodes))
    await job.step("firewall", network.delete_firewall(subject))
    await job.step("backup keys", backups.revoke(subject))
    if subject.datastore.origin is not None:
        await job.step("origin's keys", restores.revoke(services, datastore_id))
    # Whoever watched it may have published them once more, from what was seen before it was to go.
    await job.step("names again", network.remove_names(subject))

    async def deleted(tx: AsyncSession) -> None:
        datastore: Datastore = await datastores.get(tx, UUID(datastore_id))
        for node in datastore.nodes:
            await reserve.release_node(tx, services, node.id)
        await backups.unschedule(tx, datastore)
        await backups.keep_for_a_while(tx, services, datastore)
        await services.vault.forget(tx, datastore_scope(datastore.id))
        datastores.set_status(tx, datastore, Status.DELETED)

    await job.transaction("deleted", deleted)


async def remove_machine(job: Job, subject: Subject, node: Node) -> None:
    """One node's server and volume, if they are there."""
    await job.step(f"server {node.label}", servers.delete_server(subject, node))
    await job.step(f"volume {node.label}", servers.delete_volume(subject, node))
