"""Sign-up, log-in by password, check, log-out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, Field

from ccx import auth
from ccx.auth import Identity, NewUser
from ccx.auth.tokens import SESSION_LIFETIME
from ccx.rest.deps import Caller, Context, Transaction
from ccx.rest.routing import SESSION_COOKIE, OpenRoute, SecretRoute, credential_of
from ccx.rest.routing import router as make_router
from ccx.rest.schema import AnyText, Body, Done, Text

router = make_router(OpenRoute, "/api", "auth")
_authenticated = make_router(SecretRoute, "", "auth")

Password = Annotated[AnyText, Field(max_length=1024, json_schema_extra={"format": "password"})]


class LogIn(Body):
    login: Text
    password: Password


class SignUp(Body):
    login: Text
    password: Annotated[Password, Field(min_length=8)]
    firstName: Text = ""
    lastName: Text = ""
    termsAccepted: bool = False
    allowNewsletters: bool = False
    origin: Text = ""


class UserView(BaseModel):
    id: UUID
    login: str
    firstName: str
    lastName: str
    role: str


class ScopeView(BaseModel):
    """Somebody whom the user may act for: send ``<type>:<id>`` as ``CCX-Owner``."""

    id: UUID
    name: str
    type: str
    role: str


class Session(BaseModel):
    """Who is logged in; the default scope first."""

    user: UserView
    scopes: list[ScopeView]

    @classmethod
    def of(cls, who: Identity) -> Session:
        return cls(
            user=UserView(
                id=who.user_id, login=who.login, firstName=who.first_name, lastName=who.last_name, role=who.role.value
            ),
            scopes=[ScopeView.model_validate(scope, from_attributes=True) for scope in who.scopes],
        )


@router.post("/auth/register", status_code=201)
async def register(body: SignUp, tx: Transaction, services: Context, request: Request, response: Response) -> Session:
    """Signs up, and logs in."""
    most = services.settings.max_sign_ups_per_address
    await auth.admit_sign_up(services.sessions, _address(request), most)
    user = await auth.register(
        tx,
        NewUser(
            login=body.login,
            password=body.password,
            first_name=body.firstName,
            last_name=body.lastName,
            terms_accepted=body.termsAccepted,
            allow_newsletters=body.allowNewsletters,
            origin=body.origin,
        ),
    )
    _set_cookie(response, await auth.open_session(tx, user))
    return Session.of(Identity.of(user))


@router.post("/v2/auth/login")
@router.post("/auth/login", name="login_v1")
async def login(body: LogIn, tx: Transaction, services: Context, request: Request, response: Response) -> Session:
    """Logs in by password. The session is in the cookie ``ccx-session``."""
    user = await auth.log_in(services.sessions, body.login, body.password, _address(request))
    _set_cookie(response, await auth.open_session(tx, user))
    return Session.of(Identity.of(user))


@_authenticated.get("/v2/auth/check")
@_authenticated.get("/auth/check", name="check_v1")
async def check(caller: Caller) -> Session:
    """Who the credential belongs to."""
    return Session.of(caller)


@router.post("/v2/auth/logout")
@router.post("/auth/logout", name="logout_v1")
async def logout(tx: Transaction, request: Request, response: Response) -> Done:
    """Ends the session or token that the request carries. Succeeds for one that is over."""
    if token := credential_of(request):
        await auth.close_session(tx, token)
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, secure=True, samesite="lax")
    return Done()


router.include_router(_authenticated)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _set_cookie(response: Response, token: str) -> None:
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        path="/",
        httponly=True,
        secure=True,
        samesite="lax",
    )
