"""The kinds of route. What must hold for each request of a kind is done here, once, around the route's own function."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import auth
from ccx.auth import Identity
from ccx.errors import CcxError
from ccx.rest.context import context_of
from ccx.rest.idempotency import Remembering
from ccx.rest.schema import PROBLEMS
from ccx.stores import audit

SESSION_COOKIE = "ccx-session"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_READS = ("GET", "HEAD", "OPTIONS")


class OpenRoute(APIRoute):
    """Anybody may call it. One transaction, committed before the answer leaves, and only for a success."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def in_transaction(request: Request) -> Response:
            async with context_of(request).services.sessions() as tx:
                request.state.tx = tx
                response = await self.around(request, tx, handler)
                await tx.commit()
                return response

        return in_transaction

    async def around(self, request: Request, tx: AsyncSession, handler: Handler) -> Response:
        """What a kind of route adds."""
        return await handler(request)


class OwnerRoute(OpenRoute):
    """Needs a credential, before anything else of the request is looked at. Repeated requests are recognised."""

    async def around(self, request: Request, tx: AsyncSession, handler: Handler) -> Response:
        identity = await _authenticate(request, tx)
        self.admit(identity)
        owner = identity.acts_for(request.headers.get("CCX-Owner"))
        request.state.identity, request.state.owner = identity, owner
        if not identity.owns(owner):
            # The path is quoted again: decoded, it may hold what the database can't.
            audit.record(
                tx, identity.actor, f"{request.method} {quote(request.url.path)}", owner=f"{owner[0]}:{owner[1]}"
            )
        if request.method in _READS or (memory := await Remembering.begin(tx, request, owner)) is None:
            return await handler(request)
        if (before := memory.answer()) is not None:
            return before
        response = await handler(request)
        memory.end(response)
        return response

    def admit(self, identity: Identity) -> None:
        """Raises for callers that may not use this kind of route."""


class SecretRoute(OwnerRoute):
    """An :class:`OwnerRoute` whose answer holds a secret, so it can't be remembered."""

    async def around(self, request: Request, tx: AsyncSession, handler: Handler) -> Response:
        request.state.identity = await _authenticate(request, tx)
        return await handler(request)


class OperatorRoute(OwnerRoute):
    """For operators. Others learn that it exists (it is in the public description), and no more."""

    def admit(self, identity: Identity) -> None:
        if not identity.is_operator:
            raise CcxError("this is for operators", status=403, remedy="Ask an operator of this installation")


def router(kind: type[OpenRoute], prefix: str, tag: str) -> APIRouter:
    """A router all of whose routes are of that kind, described as such in OpenAPI."""
    credentials = [Depends(_BEARER), Depends(_COOKIE)] if issubclass(kind, OwnerRoute) else []
    return APIRouter(prefix=prefix, tags=[tag], route_class=kind, dependencies=credentials, responses=PROBLEMS)


# They only describe: reading and checking is `_authenticate`'s.
_BEARER = HTTPBearer(auto_error=False, description="an OAuth2 access token, or a session's token")
_COOKIE = APIKeyCookie(name=SESSION_COOKIE, auto_error=False)


def credential_of(request: Request) -> str | None:
    """The token that a request carries: a bearer's before a cookie's."""
    bearer = bearer_of(request)
    return request.cookies.get(SESSION_COOKIE) if bearer is None else bearer


def bearer_of(request: Request) -> str | None:
    """The token in ``Authorization: Bearer``; None where there is no such header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def _authenticate(request: Request, tx: AsyncSession) -> Identity:
    identity = await auth.identify(tx, credential_of(request))
    # Browsers say where a request comes from. SameSite=Lax would let datastores' own names (the same site) through.
    if bearer_of(request) is None and request.method not in _READS:
        origin = request.headers.get("Sec-Fetch-Site", "none")
        if origin not in ("same-origin", "none"):
            raise CcxError("a page of another origin sent this", status=403, remedy="Use the console, or a token")
    return identity
