"""Ordering a restore drill, and what one makes of the rows that were counted when the backup was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.runner import branches, readers, repositories, windows
from ccx.stores import backups, datastores
from ccx.stores.models import Datastore

DRILL = "JOB_TYPE_RESTORE_DRILL"

_NAMED = 5
"""Tables that a complaint names."""
_LOOSE_SHARE, _LOOSE_ROWS = 0.01, 1000
"""By how much the rows of a table may differ that was counted while many wrote."""


@dataclass(frozen=True)
class Ordered:
    home: UUID
    """The throw-away datastore: what the job belongs to."""
    job_id: UUID
    backup: str


async def order(tx: AsyncSession, datastore: Datastore) -> Ordered:
    """Has the datastore's newest backup proved. Raises NotFound where there is none that can be restored, and Conflict
    where it is removed in the same moment.
    """
    found, _ = await backups.of(tx, datastore.id)
    backup = windows.newest(datastore, found)
    await readers.check_stays(tx, datastore, backup)
    owner = (datastore.owner_type, datastore.owner_id)
    origin = {
        "datastore": str(datastore.id), "backup": backup.label, "to": repositories.AT_ONCE,
        "path": branches.path(datastore, backup.branch, backup.branch),
    }  # fmt: skip
    if backup.counts is not None:
        origin["point"] = backup.counts["point"]
    home = await datastores.never(
        tx, owner, name="restore drill", vendor=datastore.vendor, version=datastore.version, size=1,
        cluster_type=datastore.cluster_type, cloud=datastore.cloud, region=datastore.region,
        instance_size=datastore.instance_size, volume_type=datastore.volume_type, volume_size=datastore.volume_size,
        admin_user=datastore.admin_user, admin_database=datastore.admin_database, origin=origin,
    )  # fmt: skip
    args = {"datastore_id": str(home.id)}
    job_id = await jobs.enqueue(tx, "drill_datastore", key=str(home.id), args=args, owner=owner, label=DRILL)
    return Ordered(home.id, job_id, backup.label)


def compare(counts: Mapping[str, Any], restored: Mapping[str, int]) -> list[str]:
    """The tables whose rows are not those that were counted, in words; nothing when all is well. Pure.

    What was counted at a moment without a commit has to be the same to the row.
    """
    found = []
    for table, rows in sorted(counts["rows"].items()):
        now = restored.get(table)
        loose = 0 if counts["exact"] else max(_LOOSE_ROWS, rows * _LOOSE_SHARE)
        if now is None and (counts["exact"] or rows > loose):
            found.append(f"{table} is missing")
        elif now is not None and abs(now - rows) > loose:
            found.append(f"{table} has {now} rows and had {rows}")
    more = len(found) - _NAMED
    return [*found[:_NAMED], f"and {more} more"] if more > 0 else found
