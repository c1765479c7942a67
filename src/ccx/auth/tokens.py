"""Bearer tokens: random, opaque, kept as digests. A session's cookie holds one, OAuth2 hands them out."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.auth.identity import Identity
from ccx.auth.models import Token, User
from ccx.db import utc_now
from ccx.errors import Unauthenticated
from ccx.secrets import new_password

SESSION_LIFETIME = timedelta(hours=12)
TOKEN_LIFETIME = timedelta(hours=1)

_LENGTH = 43
"""Letters and digits: 256 bits."""


def digest(secret: str) -> str:
    """What is kept of a random secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


async def issue(tx: AsyncSession, user_id: UUID, lifetime: timedelta, client_id: UUID | None = None) -> str:
    """A new token. The user's expired ones are dropped on this occasion, so that the table stays small."""
    token, now = new_password(_LENGTH), utc_now()
    await tx.execute(delete(Token).where(Token.user_id == user_id, Token.expires_at < now))
    tx.add(Token(user_id=user_id, client_id=client_id, token_sha256=digest(token), expires_at=now + lifetime))
    await tx.flush()
    return token


async def open_session(tx: AsyncSession, user: User) -> str:
    """A new session's token, good for :data:`SESSION_LIFETIME`."""
    return await issue(tx, user.id, SESSION_LIFETIME)


async def close_session(tx: AsyncSession, token: str) -> None:
    """Ends a token at once. Succeeds for one that is unknown or over."""
    await tx.execute(delete(Token).where(Token.token_sha256 == digest(token)))


async def identify(tx: AsyncSession, token: str | None) -> Identity:
    """Who holds this token. Raises Unauthenticated when there is none, or it is unknown or expired."""
    if not token:
        raise Unauthenticated("no credential was sent", remedy="Log in: ccx login")
    row = await tx.scalar(select(Token).where(Token.token_sha256 == digest(token), Token.expires_at > utc_now()))
    if row is None:
        raise Unauthenticated("the session or token is unknown or expired", remedy="Log in again: ccx login")
    return Identity.of(row.user)
