"""Events, written in the transaction of the change that they report, and later relayed in order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import utc_now
from ccx.stores.models import Outbox

_WORD = re.compile(r"[a-z-]+")


def emit(tx: AsyncSession, datastore_id: UUID, what: str, payload: dict[str, Any] | None = None) -> None:
    """Reports ``what``, one word, about a datastore. ``payload`` is public to all services: never a secret."""
    if not _WORD.fullmatch(what):
        raise ValueError(f"{what!r} is no word of a subject: it would hold up all events behind it")
    tx.add(
        Outbox(
            subject=f"ccx.datastore.{datastore_id}.{what}",
            payload={"datastore": str(datastore_id), "what": what, "at": utc_now().isoformat(), **(payload or {})},
        )
    )


async def waits(tx: AsyncSession) -> bool:
    """Whether an event is unpublished."""
    return bool(await tx.scalar(select(exists().where(Outbox.published_at.is_(None)))))


async def pending(tx: AsyncSession, limit: int = 100) -> Sequence[Outbox]:
    """The oldest unpublished events, locked, in order. Another relay waits: order would be lost otherwise."""
    await tx.execute(text("select pg_advisory_xact_lock(hashtext('ccx.outbox'))"))
    rows = select(Outbox).where(Outbox.published_at.is_(None)).order_by(Outbox.id).limit(limit)
    return (await tx.scalars(rows)).all()


async def published(tx: AsyncSession, ids: Sequence[int]) -> None:
    """Marks events as published."""
    await tx.execute(update(Outbox).where(Outbox.id.in_(ids)).values(published_at=utc_now()))


async def prune(tx: AsyncSession, before: datetime) -> None:
    """Drops events that were published before a moment. What is not published yet stays, however old it is."""
    await tx.execute(delete(Outbox).where(Outbox.published_at < before))
