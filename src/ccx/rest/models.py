"""The table of the ``rest`` schema."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from ccx.db import Base, utc_now

SCHEMA = "rest"


class RememberedRequest(Base):
    """What was answered to a request with an ``Idempotency-Key``. Written with the request's effects, or not at all."""

    __tablename__ = "idempotency"
    __table_args__ = {"schema": SCHEMA}

    owner_type: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    status: Mapped[int | None]
    """None: the request went outside the transaction (to a node) and its end isn't known. It may be repeated."""
    body: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
