"""The record of what operators did across owners and of what the control plane did on its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.stores.models import Audit


def record(tx: AsyncSession, actor: str, action: str, datastore_id: UUID | None = None, **detail: Any) -> None:
    """Adds an entry. ``actor`` is ``user:<uuid>`` or a service's name; ``detail`` holds no secret."""
    tx.add(Audit(actor=actor, action=action, datastore_id=datastore_id, detail=detail))


async def last(tx: AsyncSession, datastore_id: UUID, actions: Sequence[str]) -> Audit | None:
    """The newest entry of these about a datastore."""
    of_it = select(Audit).where(Audit.datastore_id == datastore_id, Audit.action.in_(actions))
    return await tx.scalar(of_it.order_by(Audit.at.desc(), Audit.id.desc()).limit(1))


async def prune(tx: AsyncSession, before: datetime, limit: int) -> int:
    """Drops entries of before a moment, oldest first. Returns how many, which is at most ``limit``."""
    old = select(Audit.id).where(Audit.at < before).order_by(Audit.id).limit(limit)
    return len((await tx.scalars(delete(Audit).where(Audit.id.in_(old)).returning(Audit.id))).all())
