"""Creates a datastore out of the backups of another one, which may be gone. That one is left as it is."""

from __future__ import annotations

from datetime import timedelta

from ccx.jobs import Job, operation
from ccx.runner.create_datastore import build, give_up
from ccx.runner.services import Services
from ccx.runner.steps import backups, restores
from ccx.stores.models import Node

FORM = timedelta(hours=12)
"""The replicas copy all of it."""


@operation("restore_datastore", deadline=timedelta(hours=24), on_failed=give_up)
async def restore_datastore(job: Job, datastore_id: str, label: str) -> None:
    """A creation whose first member is made from a backup. A backup of its own follows, called ``label`` in the API."""
    services: Services = job.services
    await job.step("end of the log", restores.mark(services, datastore_id), timeout=150)
    await job.step("keys", restores.grant(services, datastore_id), undo=restores.revoke(services, datastore_id))

    async def tidy(made: list[Node]) -> None:
        for node in made:
            await job.step(f"forget {node.label}", restores.forget(services, datastore_id, node.id))
        await job.step("end of keys", restores.revoke(services, datastore_id))

    follow, back_up = restores.follow(services, datastore_id), backups.order_full(datastore_id, label)
    await build(job, datastore_id, follow=follow, form=FORM, tidy=tidy, also=back_up)
