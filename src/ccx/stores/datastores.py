"""Datastores: the desired state, and what was last seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain, count
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import utc_now
from ccx.errors import Conflict, NotFound
from ccx.ids import new_short_id
from ccx.stores import outbox
from ccx.stores.models import GONE, Datastore, Desired, Status

Owner = tuple[str, UUID]
"""``("user" | "org", id)``."""


async def add(tx: AsyncSession, owner: Owner, **values: Any) -> Datastore:
    """Stores a new datastore that shall be present. Raises Conflict when the owner has one of that name."""
    datastore = Datastore(owner_type=owner[0], owner_id=owner[1], short_id=new_short_id(), **values)
    try:
        async with tx.begin_nested():
            tx.add(datastore)
            await tx.flush()
    except IntegrityError as error:
        if "owner_name" not in str(error.orig):
            raise
        raise _taken(values["name"], "general.cluster_name") from None
    await tx.refresh(datastore, ["nodes"])
    outbox.emit(tx, datastore.id, "requested", {"name": datastore.name})
    return datastore


async def add_beside(tx: AsyncSession, owner: Owner, *, name: str, **values: Any) -> Datastore:
    """As :func:`add`, for a name that nobody chose: while the owner has one of it, another number stands behind it."""
    for end in chain([""], (f"-{number}" for number in count(2))):
        with suppress(Conflict):
            return await add(tx, owner, name=name + end, **values)
    raise AssertionError("there is always another number")


async def never(tx: AsyncSession, owner: Owner, **values: Any) -> Datastore:
    """What a temporary node belongs to: gone from the start, so it holds no name or quota, and nobody watches it."""
    datastore = Datastore(
        owner_type=owner[0], owner_id=owner[1], short_id=new_short_id(), desired=Desired.ABSENT, status=Status.DELETED,
        deleted_at=utc_now(), **values,
    )  # fmt: skip
    tx.add(datastore)
    await tx.flush()
    return datastore


async def get(
    tx: AsyncSession, datastore_id: UUID, owner: Owner | None = None, *, for_update: bool = False
) -> Datastore:
    """The datastore, deleted ones too. With an owner, somebody else's is as absent as one that never was (NotFound).

    ``for_update`` waits for whoever changes it now, and keeps others waiting until the transaction ends.
    """
    datastore = await tx.get(Datastore, datastore_id, populate_existing=True, with_for_update=for_update or None)
    if datastore is None or (owner is not None and (datastore.owner_type, datastore.owner_id) != owner):
        raise NotFound(f"there is no datastore {datastore_id}", remedy="List yours: ccx datastore list")
    return datastore


async def of(
    tx: AsyncSession, owner: Owner | None, *, limit: int = 100, offset: int = 0
) -> tuple[list[Datastore], int]:
    """An owner's datastores (everybody's for None) that are not gone, oldest first, and how many there are in all."""
    alive = select(Datastore).where(Datastore.status.not_in(GONE))
    if owner is not None:
        alive = alive.where(Datastore.owner_type == owner[0], Datastore.owner_id == owner[1])
    total = await tx.scalar(select(func.count()).select_from(alive.subquery()))
    rows = await tx.scalars(alive.order_by(Datastore.id).limit(limit).offset(offset))
    return list(rows), total or 0


async def count_alone(tx: AsyncSession, owner: Owner) -> int:
    """How many datastores an owner has; others who ask so wait until the transaction, which may add one, ends."""
    of_owner = f"ccx.datastores {owner[0]} {owner[1]}"
    await tx.execute(text("select pg_advisory_xact_lock(hashtextextended(:of_owner, 0))"), {"of_owner": of_owner})
    return (await of(tx, owner, limit=1))[1]


async def watched(tx: AsyncSession) -> Sequence[Datastore]:
    """The datastores whose state is compared with what is observed: made, and not being deleted."""
    settled = select(Datastore).where(
        Datastore.desired == Desired.PRESENT, Datastore.status.not_in((Status.CREATING, Status.DELETING, *GONE))
    )
    return (await tx.scalars(settled.order_by(Datastore.id))).all()


async def with_backups_due(tx: AsyncSession, moment: datetime) -> Sequence[Datastore]:
    """Deleted ones whose backups' time is over by then."""
    due = select(Datastore).where(Datastore.status == Status.DELETED, Datastore.backups_until <= moment)
    return (await tx.scalars(due.order_by(Datastore.id))).all()


async def made_from(tx: AsyncSession, datastore_id: UUID) -> Sequence[UUID]:
    """Those that were made, or are being made, from its backups: the throw-away ones of drills too."""
    made = select(Datastore.id).where(Datastore.origin["datastore"].astext == str(datastore_id))
    return (await tx.scalars(made)).all()


async def living(tx: AsyncSession) -> Sequence[Datastore]:
    """All that have, or may have, nodes."""
    return (await tx.scalars(select(Datastore).where(Datastore.status.not_in(GONE)).order_by(Datastore.id))).all()


async def rename(tx: AsyncSession, datastore: Datastore, name: str) -> None:
    """Changes the name that people see. DNS and cloud names stay: they come from the short id."""
    datastore.name = name
    try:
        async with tx.begin_nested():
            await tx.flush()
    except IntegrityError:
        raise _taken(name, "cluster_name") from None
    outbox.emit(tx, datastore.id, "renamed", {"name": name})


def want_absent(tx: AsyncSession, datastore: Datastore) -> None:
    """Records that the datastore shall go. The deletion itself is a job."""
    datastore.desired = Desired.ABSENT
    set_status(tx, datastore, Status.DELETING, "")


def set_status(tx: AsyncSession, datastore: Datastore, status: Status, why: str = "") -> bool:
    """Records a status with its reason, and reports the change. False when it was so already."""
    if (datastore.status, datastore.status_text) == (status, why):
        return False
    before, datastore.status, datastore.status_text = datastore.status, status, why
    if status is Status.DELETED:
        datastore.deleted_at = utc_now()
    outbox.emit(tx, datastore.id, "status", {"from": before.value, "to": status.value, "why": why})
    return True


def log_lacks(datastore: Datastore, branch: int, since: datetime, last: datetime) -> None:
    """Records when parts of a branch's log were given up. What was known of it before is forgotten."""
    gap = {"since": since.isoformat(), "last": last.isoformat()}
    datastore.log_gaps = {**datastore.log_gaps, str(branch): gap}


def log_gap(datastore: Datastore, branch: int) -> tuple[datetime, datetime] | None:
    """Since when, and when last, parts of a branch's log were given up; None: they never were, as far as is known."""
    gap = datastore.log_gaps.get(str(branch))
    return (datetime.fromisoformat(gap["since"]), datetime.fromisoformat(gap["last"])) if gap else None


def _taken(name: str, field: str) -> Conflict:
    return Conflict(
        f"you already have a datastore named {name!r}",
        field=field,
        remedy="Choose another name, or delete that one first",
    )
