"""Who reads a datastore's backups just now."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.stores import datastores
from ccx.stores.models import Datastore, Status

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
