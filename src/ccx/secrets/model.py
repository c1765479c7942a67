"""The table of the ``secrets`` schema."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ccx.db import Base, utc_now
from ccx.ids import new_id

SCHEMA = "secrets"


class Secret(Base):
    """A sealed value. The ciphertext opens only for this scope and name: rows can't be exchanged for one another."""

    __tablename__ = "secret"
    __table_args__ = (UniqueConstraint("scope", "name", name="uq_secret_scope_name"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    scope: Mapped[str]
    """Whom it belongs to: ``installation``, ``datastore:<uuid>``, ``node:<uuid>``."""
    name: Mapped[str]
    key_version: Mapped[int]
    nonce: Mapped[bytes]
    ciphertext: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
