"""The backups that are in the object store, as their jobs found them. They outlive their datastores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.ids import new_id
from ccx.stores.datastores import Owner
from ccx.stores.models import Backup, Datastore

GOING = "retention removes it"
"""Why one can't be restored that is about to be removed from the store."""


async def replace(tx: AsyncSession, datastore: Datastore, found: Sequence[dict[str, Any]]) -> None:
    """Records that the store has exactly these of the datastore's branch that they are of: columns, by ``label``."""
    labels, branch = [row["label"] for row in found], found[0].get("branch", 0) if found else datastore.branch
    own = (Backup.datastore_id == datastore.id) & (Backup.branch == branch)
    await tx.execute(delete(Backup).where(own, Backup.label.not_in(labels)))
    owned = {"datastore_id": datastore.id, "owner_type": datastore.owner_type, "owner_id": datastore.owner_id}
    for row in found:
        statement = insert(Backup).values(id=new_id(), **owned, **row)
        await tx.execute(statement.on_conflict_do_update(index_elements=["datastore_id", "label"], set_=row))
    await tx.execute(update(Backup).where(own, Backup.unusable == GOING).values(unusable=None))  # it could not be


async def going(tx: AsyncSession, datastore_id: UUID, labels: Sequence[str]) -> None:
    """These are about to be removed: from here on they can be restored no more."""
    those = (Backup.datastore_id == datastore_id) & Backup.label.in_(labels) & Backup.unusable.is_(None)
    await tx.execute(update(Backup).where(those).values(unusable=GOING))


async def stays(tx: AsyncSession, datastore_id: UUID, label: str) -> bool:
    """Whether the backup is there now and is not about to be removed. What it builds on goes with it, not before."""
    one = (Backup.datastore_id == datastore_id) & (Backup.label == label) & Backup.unusable.is_distinct_from(GOING)
    return bool(await tx.scalar(select(exists().where(one))))


async def forget(tx: AsyncSession, datastore_id: UUID) -> int:
    """Of a datastore: they can be restored no more. Returns how many there were."""
    gone = await tx.scalars(delete(Backup).where(Backup.datastore_id == datastore_id).returning(Backup.id))
    return len(gone.all())


async def forget_branches(tx: AsyncSession, datastore_id: UUID, branches: Sequence[int]) -> int:
    """The same of some of its branches."""
    those = (Backup.datastore_id == datastore_id) & Backup.branch.in_(branches)
    return len((await tx.scalars(delete(Backup).where(those).returning(Backup.id))).all())


async def locked(tx: AsyncSession, datastore_id: UUID, labels: Sequence[str], until: datetime) -> None:
    """Records until when nobody can delete these."""
    those = (Backup.datastore_id == datastore_id) & Backup.label.in_(labels)
    await tx.execute(update(Backup).where(those).values(locked_until=until))


async def drilled(tx: AsyncSession, datastore_id: UUID, label: str, outcome: dict[str, Any]) -> None:
    """Records what a drill found of a backup, if it is still there."""
    one = (Backup.datastore_id == datastore_id) & (Backup.label == label)
    await tx.execute(update(Backup).where(one).values(drill=outcome))


async def full_since(tx: AsyncSession, datastore_id: UUID, branch: int) -> datetime | None:
    """When the newest full backup of a branch began that can be restored, as far as is known; None: there is none."""
    full = (Backup.datastore_id == datastore_id) & (Backup.branch == branch) & (Backup.kind == "full")
    return await tx.scalar(select(func.max(Backup.started_at)).where(full, Backup.good, Backup.unusable.is_(None)))


async def of(
    tx: AsyncSession, datastore_id: UUID, *, limit: int | None = None, offset: int = 0
) -> tuple[list[Backup], int]:
    """A datastore's, newest first, and how many there are in all."""
    own = select(Backup).where(Backup.datastore_id == datastore_id)
    total = await tx.scalar(select(func.count()).select_from(own.subquery()))
    newest = own.order_by(Backup.ended_at.desc(), Backup.label.desc()).limit(limit).offset(offset)
    return list(await tx.scalars(newest)), total or 0


async def of_owner(tx: AsyncSession, owner: Owner, *, limit: int, offset: int = 0) -> list[tuple[Backup, Datastore]]:
    """All of an owner's with their datastores, deleted ones too; newest first."""
    own = select(Backup, Datastore).join(Datastore, Datastore.id == Backup.datastore_id)
    own = own.where(Backup.owner_type == owner[0], Backup.owner_id == owner[1])
    rows = await tx.execute(own.order_by(Backup.ended_at.desc(), Backup.label.desc()).limit(limit).offset(offset))
    return [(backup, datastore) for backup, datastore in rows]
