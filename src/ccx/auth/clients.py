"""OAuth2 client credentials: what Terraform, the MCP server and the CLI log in with."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.auth.identity import Identity
from ccx.auth.models import Client
from ccx.auth.tokens import TOKEN_LIFETIME, digest, issue
from ccx.errors import CcxError, NotFound, Unauthenticated
from ccx.secrets import new_password

MOST_CLIENTS = 100
"""Of one user."""


async def create_client(tx: AsyncSession, identity: Identity, name: str) -> tuple[Client, str]:
    """A new client and its secret, which is shown this once. Letters and digits: nobody misquotes them."""
    held = await tx.scalar(select(func.count()).where(Client.user_id == identity.user_id))
    if (held or 0) >= MOST_CLIENTS:
        raise CcxError(f"you have {held} clients, which is the limit", status=422, remedy="Delete one that is not used")
    secret = new_password(43)
    client = Client(
        user_id=identity.user_id, client_id=f"ccx{new_password(20)}", secret_sha256=digest(secret), name=name
    )
    tx.add(client)
    await tx.flush()
    return client, secret


async def list_clients(tx: AsyncSession, identity: Identity) -> Sequence[Client]:
    """The caller's clients, oldest first."""
    return (await tx.scalars(select(Client).where(Client.user_id == identity.user_id).order_by(Client.id))).all()


async def delete_client(tx: AsyncSession, identity: Identity, client_id: str) -> None:
    """Removes a client; its tokens end at once. Raises NotFound."""
    owned = delete(Client).where(Client.user_id == identity.user_id, Client.client_id == client_id)
    if await tx.scalar(owned.returning(Client.id)) is None:
        raise NotFound("there is no such client", field="client_id", remedy="List yours: GET /api/auth/oauth2/clients")


async def exchange(tx: AsyncSession, client_id: str, secret: str) -> tuple[str, int]:
    """An access token for these credentials, and its lifetime in seconds. Raises Unauthenticated."""
    client = await tx.scalar(select(Client).where(Client.client_id == client_id))
    if client is None or not hmac.compare_digest(client.secret_sha256, digest(secret)):
        raise Unauthenticated("the client id or the secret is wrong", remedy="Make a new client and use its secret")
    token = await issue(tx, client.user_id, TOKEN_LIFETIME, client.id)
    return token, int(TOKEN_LIFETIME.total_seconds())
