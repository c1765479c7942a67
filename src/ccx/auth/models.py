"""The tables of the ``auth`` schema. No password, secret or token is kept: only what can check one."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Enum, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ccx.db import Base, utc_now
from ccx.ids import new_id

SCHEMA = "auth"


class Role(StrEnum):
    USER = "user"
    OPERATOR = "operator"
    """Sees and acts across owners; that is audited."""


class User(Base):
    """Somebody who can log in."""

    __tablename__ = "user"
    __table_args__ = {"schema": SCHEMA}

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    login: Mapped[str] = mapped_column(unique=True)
    """In lower case."""
    password_hash: Mapped[str]
    """argon2id."""
    role: Mapped[Role] = mapped_column(
        Enum(Role, native_enum=False, length=16, values_callable=lambda roles: [role.value for role in roles]),
        default=Role.USER,
    )
    first_name: Mapped[str] = mapped_column(default="")
    last_name: Mapped[str] = mapped_column(default="")
    allow_newsletters: Mapped[bool] = mapped_column(default=False)
    origin: Mapped[str] = mapped_column(default="")
    """Where the sign-up came from, in the client's words."""
    terms_accepted_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Client(Base):
    """OAuth2 client credentials of a user: what programs log in with."""

    __tablename__ = "client"
    __table_args__ = {"schema": SCHEMA}

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"), index=True)
    client_id: Mapped[str] = mapped_column(unique=True)
    secret_sha256: Mapped[str]
    """A plain digest is enough: the secret is random, too long to be guessed."""
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Token(Base):
    """A bearer token: a browser's session (no client), or what a client got for its credentials."""

    __tablename__ = "token"
    __table_args__ = {"schema": SCHEMA}

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"), index=True)
    client_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.client.id", ondelete="CASCADE"), index=True)
    """None for a session. Deleting a client ends its tokens."""
    token_sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime] = mapped_column(index=True)

    user: Mapped[User] = relationship(lazy="joined", innerjoin=True)


class LoginFailure(Base):
    """Failed log-ins of late, by login and address (and by address alone); and sign-ups, by address."""

    __tablename__ = "login_failure"
    __table_args__ = {"schema": SCHEMA}

    subject: Mapped[str] = mapped_column(primary_key=True)
    """A digest: what people type into the wrong field is not to be kept."""
    failures: Mapped[int]
    since: Mapped[datetime] = mapped_column(index=True)
