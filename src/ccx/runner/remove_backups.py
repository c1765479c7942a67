"""Removes the backups of a deleted datastore when their time is over: objects, keys, cipher. There is no way back."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import utc_now
from ccx.jobs import Job, Step, TransactionBody, operation
from ccx.runner import repositories
from ccx.runner.readers import is_read
from ccx.runner.services import Services
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.storage.opened import has_store, open_access, open_store
from ccx.stores import audit, backups, datastores
from ccx.stores.models import Datastore, Status

_AGAIN = timedelta(days=1)
"""After which what was still locked is tried again."""


@operation("remove_backups", deadline=timedelta(hours=24))
async def remove_backups(job: Job, datastore_id: str) -> None:
    """First they can be restored no more, then they go. Does nothing before their time, or while one is restored:
    it is begun again by and by.
    """
    services: Services = job.services
    if not await job.transaction("forget", _forget(services, datastore_id)):
        return
    left = await job.pivot("objects", _objects(services, datastore_id), timeout=900)
    await job.step("keys", _keys(services, datastore_id))

    async def removed(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        if left:
            datastore.backups_until = utc_now() + _AGAIN
            return
        datastore.backups_until = None
        await services.vault.forget(tx, repositories.scope(datastore.id))

    await job.transaction("removed", removed)


def _forget(services: Services, datastore_id: str) -> TransactionBody:
    async def body(tx: AsyncSession) -> bool:
        datastore = await datastores.get(tx, UUID(datastore_id), for_update=True)
        if not is_due(datastore) or await is_read(tx, datastore):
            return False
        gone = await backups.forget(tx, datastore.id)
        audit.record(tx, "ccx-retention", "remove backups", datastore.id, backups=gone)
        return True

    return body


def is_due(datastore: Datastore) -> bool:
    """Whether the datastore is gone, and its backups' time is over."""
    until = datastore.backups_until
    return datastore.status is Status.DELETED and until is not None and until <= utc_now()


def _objects(services: Services, datastore_id: str) -> Action:
    """Its result is how many objects stay, because they are locked."""

    async def action(step: Step) -> int:
        datastore = (await Subject.load(services, datastore_id)).datastore
        cloud = services.settings.cloud(datastore.cloud)
        if cloud is None or not has_store(cloud):
            return 0
        store = open_store(cloud, services.settings)
        try:
            return await store.delete_all(repositories.prefix(datastore))
        finally:
            await store.close()

    return action


def _keys(services: Services, datastore_id: str) -> Action:
    """They ended with the datastore; this makes sure."""

    async def action(step: Step) -> None:
        datastore = (await Subject.load(services, datastore_id)).datastore
        cloud = services.settings.cloud(datastore.cloud)
        if cloud is not None and has_store(cloud):
            async with open_access(cloud, services.settings) as access:
                await access.revoke(repositories.user(services, datastore))

    return action
