"""Has the backups of deleted datastores removed when their time is over."""

from __future__ import annotations

from ccx import jobs
from ccx.db import utc_now
from ccx.runner.services import Services
from ccx.stores import datastores

EVERY = 600.0
"""Seconds."""
LABEL = "JOB_TYPE_REMOVE_BACKUPS"


async def expire(services: Services) -> int:
    """Begins to remove what is due. Returns of how many datastores."""
    async with services.sessions.begin() as tx:
        due = await datastores.with_backups_due(tx, utc_now())
        for one in due:
            key, owner = str(one.id), (one.owner_type, one.owner_id)
            args = {"datastore_id": key}
            await jobs.enqueue(tx, "remove_backups", key=key, args=args, owner=owner, label=LABEL, dedup=True)
    return len(due)
