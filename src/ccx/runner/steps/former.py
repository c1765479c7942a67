"""The end of branches that a datastore was restored away from, when no time that is kept needs them any more."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import utc_now
from ccx.errors import CcxError, Transient
from ccx.jobs import Step, TransactionBody
from ccx.runner import branches, repositories, retention
from ccx.runner.policies import policy
from ccx.runner.readers import is_read
from ccx.runner.services import Services
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.storage.opened import open_store
from ccx.stores import audit, backups, datastores

log = structlog.get_logger()


def forget(services: Services, datastore_id: str) -> TransactionBody:
    """From here on they can be restored no more; its result is which: none while somebody reads backups."""

    async def action(tx: AsyncSession) -> list[int]:
        datastore = await datastores.get(tx, UUID(datastore_id), for_update=True)
        if not datastore.branches or await is_read(tx, datastore):
            return []
        known, _ = await backups.of(tx, datastore.id)
        kept = policy(services.settings, datastore)
        going = retention.former(datastore, known, utc_now(), kept.keep_days, kept.keep_full)
        if gone := await backups.forget_branches(tx, datastore.id, going):
            audit.record(tx, "ccx-retention", "remove backups", datastore.id, backups=gone)
        return going

    return action


def remove(services: Services, datastore_id: str, numbers: Sequence[int]) -> Action:
    """Their log and backups, in the store. That they can't be is no reason to call a backup failed: a later full one
    tries again.
    """

    async def action(step: Step) -> None:
        datastore = (await Subject.load(services, datastore_id)).datastore
        cloud = services.settings.cloud(datastore.cloud)
        if cloud is None:
            return
        store = open_store(cloud, services.settings)
        try:
            for number in numbers:
                name = branches.archive_name(datastore.short_id, number)
                for kind in ("backup", "archive"):
                    await store.delete_all(f"{repositories.prefix(datastore)}{kind}/{name}/")
        except (CcxError, Transient) as error:
            log.warning("former branches are not removed", datastore=datastore.short_id, reason=str(error))
        finally:
            await store.close()

    return action
