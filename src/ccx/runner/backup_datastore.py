"""Backs a datastore up. The first backup also gives it its keys, and begins to archive its log."""

from __future__ import annotations

from datetime import timedelta

from ccx.cmon.backup import Kind
from ccx.jobs import Job, operation
from ccx.runner.services import Services
from ccx.runner.steps import backups, network
from ccx.runner.subject import Subject
from ccx.stores import nodes


@operation("backup_datastore", deadline=timedelta(hours=12))
async def backup_datastore(job: Job, datastore_id: str, kind: str) -> None:
    """Everything before the backup itself finds its work done, but for the first time and after a node was replaced."""
    services: Services = job.services
    subject = await Subject.load(services, datastore_id)
    if subject.datastore.is_gone:
        return
    members = nodes.members(subject.datastore)

    await job.step("keys", backups.grant(services, datastore_id))
    await job.step("firewall", network.put_firewall(subject))
    ids = [node.id for node in members]
    await job.gather(
        *(job.step(f"configure {n.label}", backups.configure(services, datastore_id, ids, n.id)) for n in members)
    )
    await job.step("archive", backups.archive(services, datastore_id), timeout=240)
    await job.step(
        "backup", backups.back_up(services, datastore_id, str(job.id), Kind(kind)), timeout=600, retry_for=600
    )
    await job.step("expire", backups.expire(services, datastore_id), timeout=600)
    found = await job.step("list", backups.look(services, datastore_id))
    await job.transaction("record", backups.record(services, datastore_id, found))
