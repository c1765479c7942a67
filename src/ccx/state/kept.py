"""Restores in place that nobody confirmed or took back: after their time, what is kept of before goes."""

from __future__ import annotations

from datetime import datetime

from ccx import jobs
from ccx.db import utc_now
from ccx.runner import branches
from ccx.runner.services import Services
from ccx.stores import audit, datastores

EVERY = 3600.0
"""Seconds."""
CONFIRMED = "JOB_TYPE_CONFIRM_RESTORE"


async def confirm_overdue(services: Services) -> int:
    """Orders the confirmation of each that is due. Returns how many."""
    ordered = 0
    async with services.sessions.begin() as tx:
        for datastore in await datastores.watched(tx):
            plan = datastore.restoring or {}
            if branches.state(datastore) != branches.KEPT or datetime.fromisoformat(plan["kept_until"]) > utc_now():
                continue
            key, owner = str(datastore.id), (datastore.owner_type, datastore.owner_id)
            audit.record(tx, "ccx-state-worker", "confirm restore", datastore.id)
            await jobs.enqueue(
                tx, "confirm_restore", key=key, args={"datastore_id": key}, owner=owner, label=CONFIRMED, dedup=True
            )
            ordered += 1
    return ordered
