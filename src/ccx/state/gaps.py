"""Gaps in a datastore's log: remembered, whatever becomes of the node that told, and made up for by a full backup."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.cmon.backup import Kind
from ccx.db import utc_now
from ccx.runner.steps import backups
from ccx.state.archive import Gap, joined
from ccx.stores import audit, datastores
from ccx.stores import backups as stored
from ccx.stores.models import Datastore, Desired

BACKED_UP_AGAIN = timedelta(minutes=15)
"""After a backup failed that was to make up for a gap in the log."""


async def remember(tx: AsyncSession, datastore_id: UUID, branch: int, said: Gap) -> bool:
    """What a primary's node of that branch says: the next one's may know nothing of it. True when it is news."""
    datastore = await datastores.get(tx, datastore_id, for_update=True)
    known = _known(datastore, branch)
    now = joined(known, said, await stored.full_since(tx, datastore.id, branch))
    if now is None or now == known:
        return False
    datastores.log_lacks(datastore, branch, now.since, now.last)
    return True


async def missing(tx: AsyncSession, datastore: Datastore) -> Gap | None:
    """What the log lacks, and no full backup has made up for.

    Only of the branch that serves: no way to a time of it goes by another one's gap, which its backups could not close.
    """
    if (known := _known(datastore, datastore.branch)) is None:
        return None
    return known.behind(await stored.full_since(tx, datastore.id, datastore.branch))


async def make_up(tx: AsyncSession, datastore_id: UUID) -> None:
    """The store takes the log. If parts of it are missing: a full backup, and then what can be restored."""
    datastore, key = await datastores.get(tx, datastore_id), str(datastore_id)
    if datastore.desired is Desired.ABSENT or await missing(tx, datastore) is None:
        return
    if await jobs.active(tx, key, jobs.Lane.SIDE) is not None:
        return
    failed = datastore.backup_failed
    if failed is not None and utc_now() - datetime.fromisoformat(failed["at"]) < BACKED_UP_AGAIN:
        return
    owner = (datastore.owner_type, datastore.owner_id)
    audit.record(tx, "ccx-state-worker", "back up after a gap in the log", datastore_id)
    for kind, args, label in (
        ("backup_datastore", {"kind": Kind.FULL.value}, backups.SCHEDULED),
        ("verify_backups", {}, backups.VERIFIED),
    ):
        args = {"datastore_id": key, **args}
        await jobs.enqueue(tx, kind, key=key, args=args, owner=owner, label=label, dedup=True)


def _known(datastore: Datastore, branch: int) -> Gap | None:
    gap = datastores.log_gap(datastore, branch)
    return Gap(*gap) if gap is not None else None
