"""Who reads a datastore's backups just now, and that they stay for whoever is to."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.errors import Conflict
from ccx.stores import backups, datastores
from ccx.stores.models import Backup, Datastore, Status

_MADE = (Status.STARTED, Status.DEGRADED, Status.FAILURE, Status.UNKNOWN)
"""Whatever job it has then, it has its data."""


async def is_read(tx: AsyncSession, datastore: Datastore) -> bool:
    """Whether a restore into a new datastore, or a drill, of its backups is not over."""
    for made in await datastores.made_from(tx, datastore.id):
        if (await datastores.get(tx, made)).status in _MADE:
            continue
        newest, _ = await jobs.history(tx, str(made), limit=1)
        if newest and not newest[0].status.is_final:
            return True
    return False


async def check_stays(tx: AsyncSession, datastore: Datastore, backup: Backup) -> None:
    """For who is about to be a reader, in the transaction that makes it one: until that ends nothing is removed.

    Raises Conflict where the backup was removed, or is being, since it was chosen.
    """
    await datastores.get(tx, datastore.id, for_update=True)
    if not await backups.stays(tx, datastore.id, backup.label):
        raise Conflict(
            f"the backup {backup.label} was kept long enough and is removed just now",
            field="backup_id",
            remedy="Ask again: another one is found; see which there are: ccx backup list",
        )
