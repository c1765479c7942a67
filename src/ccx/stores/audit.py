"""The record of what operators did across owners and of what the control plane did on its own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.stores.models import Audit


def record(tx: AsyncSession, actor: str, action: str, datastore_id: UUID | None = None, **detail: Any) -> None:
    """Adds an entry. ``actor`` is ``user:<uuid>`` or a service's name; ``detail`` holds no secret."""
    tx.add(Audit(actor=actor, action=action, datastore_id=datastore_id, detail=detail))
