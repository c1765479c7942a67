"""Users: sign-up, log-in by password, the first operator."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.auth import throttle
from ccx.auth.models import Client, Role, Token, User
from ccx.auth.passwords import hash_password, verify_password
from ccx.db import SessionFactory, utc_now
from ccx.errors import Conflict, Invalid, Unauthenticated

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024
LONGEST_LOGIN = 254


@dataclass(frozen=True)
class NewUser:
    """A sign-up."""

    login: str
    password: str
    first_name: str = ""
    last_name: str = ""
    terms_accepted: bool = False
    allow_newsletters: bool = False
    origin: str = ""

    def __repr__(self) -> str:
        return f"<NewUser {self.login}>"


async def register(tx: AsyncSession, new: NewUser) -> User:
    """Signs a user up. Raises Invalid (login, password, terms), Conflict for a login that is taken."""
    login = normal_login(new.login)
    check_password(new.password)
    if not new.terms_accepted:
        raise Invalid("the terms are not accepted", field="termsAccepted", remedy="Send true to accept them")
    user = User(
        login=login,
        password_hash=await hash_password(new.password),
        first_name=new.first_name,
        last_name=new.last_name,
        allow_newsletters=new.allow_newsletters,
        origin=new.origin,
        terms_accepted_at=utc_now(),
    )
    return await _insert(tx, user)


async def admit_sign_up(sessions: SessionFactory, address: str, most: int) -> None:
    """Counts a sign-up from the address before anything of it is looked at. Raises TooManyFailures (429).

    In a transaction of its own: one that is refused counts too.
    """
    async with sessions.begin() as tx:
        await throttle.signing_up(tx, address, most)


async def ensure_operator(tx: AsyncSession, login: str, password: str) -> User:
    """The operator of that login with that password: made, or an existing user promoted and its password set.

    Sessions by another password end, and of somebody who was none an operator's clients are not made.
    """
    login = normal_login(login)
    check_password(password)
    user = await tx.scalar(select(User).where(User.login == login).with_for_update())
    if user is None:
        hash_ = await hash_password(password)
        return await _insert(tx, User(login=login, password_hash=hash_, role=Role.OPERATOR))
    if user.role is not Role.OPERATOR:
        user.role = Role.OPERATOR
        await tx.execute(delete(Client).where(Client.user_id == user.id))
    if not await verify_password(password, user.password_hash):
        user.password_hash = await hash_password(password)
        await tx.execute(delete(Token).where(Token.user_id == user.id, Token.client_id.is_(None)))
    await tx.flush()
    return user


async def log_in(sessions: SessionFactory, login: str, password: str, address: str) -> User:
    """The user of this login and password. Raises Unauthenticated, or TooManyFailures (429) whether it is right or not.

    Uses transactions of its own: a failure must be counted although the request fails, and none is held while hashing.
    """
    login = login.strip().lower()
    async with sessions.begin() as tx:
        await throttle.check(tx, login, address)
        user = await tx.scalar(select(User).where(User.login == login))
    right = await verify_password(password, user.password_hash if user else None)
    async with sessions.begin() as tx:
        # Again: of many tries side by side, all are let in before the first is counted.
        await throttle.check(tx, login, address)
        if user is None or not right:
            await throttle.failed(tx, login, address)
        else:
            await throttle.succeeded(tx, login, address)
    if user is None or not right:
        raise Unauthenticated("the login or the password is wrong", remedy="Correct it, or sign up first")
    return user


def normal_login(login: str) -> str:
    """The login as it is kept and compared. Raises Invalid."""
    login = login.strip().lower()
    if not login or len(login) > LONGEST_LOGIN or not login.isprintable() or any(c.isspace() for c in login):
        raise Invalid(
            f"a login has 1 to {LONGEST_LOGIN} characters and no spaces", field="login", remedy="Use an e-mail address"
        )
    return login


def check_password(password: str) -> None:
    """Raises Invalid for a password that is too short or too long. The message never quotes it."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Invalid(
            f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters",
            field="password",
            remedy="Choose a longer one" if len(password) < SHORTEST_PASSWORD else "Choose a shorter one",
        )


async def _insert(tx: AsyncSession, user: User) -> User:
    try:
        async with tx.begin_nested():
            tx.add(user)
    except IntegrityError:
        raise Conflict(f"the login {user.login} is taken", field="login", remedy="Log in, or choose another") from None
    return user
