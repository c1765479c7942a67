"""OAuth2 client credentials: exchange, and the clients themselves."""

from __future__ import annotations

import base64
from typing import Annotated
from urllib.parse import parse_qs, unquote_plus

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ccx import auth
from ccx.errors import CcxError, Unauthenticated
from ccx.rest.deps import Caller, Transaction
from ccx.rest.routing import OpenRoute, SecretRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import Body, Done, Text, When

router = make_router(OpenRoute, "/api/auth/oauth2", "auth")
_own = make_router(SecretRoute, "", "auth")


class AccessToken(BaseModel):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int
    """Seconds."""


_FORM = {
    "requestBody": {
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string"},
                    },
                    "required": ["grant_type"],
                }
            }
        }
    }
}


@router.post("/token", response_model=AccessToken, openapi_extra=_FORM)
async def token(request: Request, tx: Transaction) -> Response:
    """An access token for client credentials, which come by HTTP Basic or in the form."""
    form = {name: values[-1] for name, values in parse_qs((await request.body()).decode(errors="replace")).items()}
    grant = form.get("grant_type", "")
    if grant != "client_credentials":
        return _failure(
            "unsupported_grant_type" if grant else "invalid_request",
            CcxError(
                "the grant type isn't client_credentials",
                status=400,
                field="grant_type",
                remedy="Send grant_type=client_credentials",
            ),
        )
    credentials = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
    try:
        access_token, lifetime = await auth.exchange(tx, *(part.replace("\0", "") for part in credentials))
    except Unauthenticated as error:
        return _failure("invalid_client", error)
    answer = AccessToken(access_token=access_token, expires_in=lifetime)
    return JSONResponse(answer.model_dump())


class NewClient(Body):
    name: Annotated[Text, Field(max_length=100)] = ""


class ClientView(BaseModel):
    client_id: str
    name: str
    created_at: When


class ClientWithSecret(ClientView):
    client_secret: str
    """Shown this once."""


class Clients(BaseModel):
    clients: list[ClientView]


@_own.post("/clients", status_code=201)
async def create_client(caller: Caller, tx: Transaction, body: NewClient | None = None) -> ClientWithSecret:
    """New client credentials of the caller. The secret is in this answer only."""
    client, secret = await auth.create_client(tx, caller, body.name if body else "")
    return ClientWithSecret(
        client_id=client.client_id, name=client.name, created_at=client.created_at, client_secret=secret
    )


@_own.get("/clients")
async def list_clients(caller: Caller, tx: Transaction) -> Clients:
    """The caller's clients, without their secrets."""
    found = await auth.list_clients(tx, caller)
    return Clients(clients=[ClientView.model_validate(client, from_attributes=True) for client in found])


@_own.delete("/clients/{client_id}")
async def delete_client(client_id: Text, caller: Caller, tx: Transaction) -> Done:
    """Removes a client; its tokens end at once."""
    await auth.delete_client(tx, caller, client_id)
    return Done()


router.include_router(_own)


def _basic(request: Request) -> tuple[str, str] | None:
    """Id and secret by HTTP Basic, which RFC 6749 wants URL-encoded first."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:  # it is no base64, or no text
        return None
    return unquote_plus(name), unquote_plus(secret)


def _failure(code: str, error: CcxError) -> JSONResponse:
    """RFC 6749's ``error`` beside our shape."""
    headers = {"WWW-Authenticate": "Basic"} if error.status == 401 else None
    return JSONResponse({**error.shape(), "error": code}, error.status, headers)
