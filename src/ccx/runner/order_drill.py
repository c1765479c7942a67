"""Orders the restore drill that is due: the drill itself is the job of a throw-away datastore, which is made here."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.jobs import Job, operation
from ccx.runner import drills
from ccx.stores import datastores
from ccx.stores.models import Desired


@operation("order_drill", deadline=timedelta(hours=1))
async def order_drill(job: Job, datastore_id: str) -> None:
    """Fails, with the reason, where there is no backup that could be restored."""

    async def order(tx: AsyncSession) -> str | None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        if datastore.desired is Desired.ABSENT:
            return None
        return str((await drills.order(tx, datastore)).home)

    await job.transaction("order", order)
