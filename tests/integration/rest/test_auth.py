"""Who may call, and what happens to those who may not."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text, update

from ccx import auth
from ccx.auth import passwords, throttle
from ccx.auth.models import Token
from ccx.db import utc_now
from ccx.runner.services import Services

from .conftest import PASSWORD, Api, log_in

STORES = "/deployment/v3/data-stores"


def sign_up(login: str, **changes: object) -> dict[str, object]:
    """A good sign-up, but for the changes."""
    return {"login": login, "password": PASSWORD, "firstName": "A", "lastName": "B", "termsAccepted": True, **changes}


async def test_a_sign_up_logs_in_and_the_cookie_is_for_https_only(anonymous: Api) -> None:
    answer = await anonymous.post("/auth/register", sign_up("New@Example.net", allowNewsletters=False, origin="demo"))
    assert answer.status_code == 201
    assert answer.json()["user"]["login"] == "new@example.net"
    assert answer.json()["scopes"][0]["type"] == "user"
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "secure", "samesite=lax"))


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"password": "short"}, 422, "password"),
        ({"termsAccepted": False}, 422, "termsAccepted"),
        ({"login": "two words"}, 422, "login"),
        ({"login": ""}, 422, "login"),
        ({"login": "nul\0"}, 422, "login"),
        ({"pasword": "typo"}, 422, "pasword"),
    ],
)
async def test_a_bad_sign_up_names_its_field(
    anonymous: Api, changes: dict[str, object], status: int, field: str
) -> None:
    answer = await anonymous.post("/auth/register", sign_up("bad@example.net") | changes)
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert PASSWORD not in answer.text


async def test_a_login_can_be_taken_once_whatever_its_case(anonymous: Api) -> None:
    assert (await anonymous.post("/auth/register", sign_up("once@example.net"))).status_code == 201
    assert (await anonymous.post("/auth/register", sign_up("ONCE@example.net"))).status_code == 409


@pytest.mark.parametrize("path", ["/auth/login", "/v2/auth/login"])
async def test_logging_in_answers_user_and_scopes(user: Api, anonymous: Api, path: str) -> None:
    answer = await anonymous.post(path, {"login": user.login.upper(), "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["scopes"][0]["id"] == str(user.user_id)
    assert "ccx-session=" in answer.headers["set-cookie"]


@pytest.mark.parametrize("login", ["", "nobody@example.net", "\ud800"])
async def test_an_unknown_login_is_401(http: httpx.AsyncClient, login: str) -> None:
    body = b'{"login": "%s", "password": "whatever"}' % login.encode("unicode_escape")
    answer = await http.post("/api/v2/auth/login", content=body)
    assert answer.status_code in (401, 422)
    assert answer.json()["err"]


async def test_after_five_wrong_passwords_an_address_waits_for_that_login_only(
    user: Api, other: Api, anonymous: Api
) -> None:
    for _ in range(throttle.PER_LOGIN):
        wrong = await anonymous.post("/v2/auth/login", {"login": user.login, "password": "wrong password"})
        assert wrong.status_code == 401
    blocked = await anonymous.post("/v2/auth/login", {"login": user.login, "password": PASSWORD})
    assert blocked.status_code == 429
    assert int(blocked.headers["retry-after"]) > 0
    assert (await log_in(anonymous.http, other.login)).user_id == other.user_id


async def test_a_try_that_was_let_in_before_the_limit_was_reached_is_told_nothing(
    user: Api, services: Services
) -> None:
    """Or who tries a thousand at once would have a thousand tries."""
    free = threading.Event()
    threads = passwords._THREADS
    busy = [threads.submit(free.wait) for _ in range(threads._max_workers)]
    try:
        right = asyncio.create_task(auth.log_in(services.sessions, user.login, PASSWORD, "192.0.2.1"))
        while threads._work_queue.empty():
            await asyncio.sleep(0.01)
        async with services.sessions.begin() as tx:
            for _ in range(throttle.PER_LOGIN):
                await throttle.failed(tx, user.login, "192.0.2.1")
    finally:
        free.set()
    with pytest.raises(auth.TooManyFailures):
        await right
    assert all(one.result(1) for one in busy)


async def test_a_failure_is_counted_while_others_are(services: Services) -> None:
    async with services.sessions.begin() as tx:
        await throttle.failed(tx, "first@example.net", "192.0.2.8")
        await tx.execute(text("update auth.login_failure set since = since - interval '16 minutes'"))
    async with services.sessions.begin() as first:
        await first.execute(text("select * from auth.login_failure for update"))
        async with asyncio.timeout(5), services.sessions.begin() as second:
            await throttle.failed(second, "second@example.net", "192.0.2.9")


async def test_the_wait_ends_with_its_window(user: Api, anonymous: Api, services: Services) -> None:
    for _ in range(throttle.PER_LOGIN):
        await anonymous.post("/v2/auth/login", {"login": user.login, "password": "wrong password"})
    async with services.sessions.begin() as tx:
        await tx.execute(text("update auth.login_failure set since = since - interval '16 minutes'"))
    assert (await log_in(anonymous.http, user.login)).user_id == user.user_id


async def test_after_too_many_sign_ups_an_address_waits(anonymous: Api, services: Services) -> None:
    most = services.settings.max_sign_ups_per_address
    good = {"login": "last@example.net", "password": PASSWORD, "termsAccepted": True}
    assert (await anonymous.post("/auth/register", {**good, "termsAccepted": False})).status_code == 422
    async with services.sessions.begin() as tx:
        row = (await tx.execute(text("select max(failures) from auth.login_failure"))).scalar_one()
        assert row >= 1, "what is refused counts too"
        await tx.execute(text("update auth.login_failure set failures = :most"), {"most": most})
    waits = await anonymous.post("/auth/register", good)
    assert waits.status_code == 429
    assert 0 < int(waits.headers["retry-after"]) <= 15 * 60
    assert "too many sign-ups" in waits.json()["err"]
    assert waits.json()["remedy"]
    async with services.sessions.begin() as tx:
        assert (await tx.execute(text("select count(*) from auth.user where login = 'last@example.net'"))).scalar() == 0
        await tx.execute(text("update auth.login_failure set since = since - interval '16 minutes'"))
    assert (await anonymous.post("/auth/register", good)).status_code == 201


async def test_a_session_that_was_closed_or_is_over_is_401(user: Api, services: Services) -> None:
    again = await log_in(user.http, user.login)
    assert (await again.post("/v2/auth/logout")).json() == {}
    assert (await again.get(STORES)).status_code == 401
    async with services.sessions.begin() as tx:
        past = utc_now() - timedelta(seconds=1)
        await tx.execute(update(Token).where(Token.user_id == user.user_id).values(expires_at=past))
    for answer in (await user.get(STORES), await user.get("/v2/auth/check")):
        assert answer.status_code == 401
        assert answer.json()["remedy"]


@pytest.mark.parametrize(
    "credential",
    [{"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": "Basic eDp5"},
     {"Cookie": "ccx-session=wrong"}, {}],
)  # fmt: skip
async def test_a_wrong_or_missing_credential_is_401_before_the_body_is_looked_at(
    http: httpx.AsyncClient, credential: dict[str, str]
) -> None:
    answer = await http.post("/api/prov/api/v2/cluster", content=b"no json", headers=credential)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_clients_secret_is_shown_once_and_its_tokens_end_with_it(user: Api, other: Api) -> None:
    made = (await user.post("/auth/oauth2/clients", {"name": "ci"})).json()
    assert made["client_id"].isalnum()
    assert made["client_secret"].isalnum()
    listed = await user.get("/auth/oauth2/clients")
    assert made["client_secret"] not in listed.text
    form = {
        "grant_type": "client_credentials", "client_id": made["client_id"], "client_secret": made["client_secret"],
    }  # fmt: skip
    token = (await user.http.post("/api/auth/oauth2/token", data=form)).json()["access_token"]
    program = Api(user.http, headers={"Authorization": f"Bearer {token}"})
    assert (await program.get("/v2/auth/check")).json()["user"]["id"] == str(user.user_id)
    assert (await other.delete(f"/auth/oauth2/clients/{made['client_id']}")).status_code == 404
    assert (await user.delete(f"/auth/oauth2/clients/{made['client_id']}")).status_code == 200
    assert (await program.get("/v2/auth/check")).status_code == 401
    assert (await user.http.post("/api/auth/oauth2/token", data=form)).status_code == 401


async def test_another_grant_type_is_refused_in_oauths_words(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/auth/oauth2/token", data={"grant_type": "password"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("credentials", [b"\xfc", b"eDp5", b"eA==", b"?", b"/w=="])
async def test_credentials_that_are_none_are_401_in_oauths_words(http: httpx.AsyncClient, credentials: bytes) -> None:
    headers = {b"Authorization": b"Basic " + credentials}
    answer = await http.post("/api/auth/oauth2/token", data={"grant_type": "client_credentials"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_no_password_secret_or_token_is_kept_as_it_is(user: Api, services: Services) -> None:
    made = (await user.post("/auth/oauth2/clients", {"name": "ci"})).json()
    session = user.headers["Cookie"].partition("=")[2]
    async with services.sessions() as tx:
        rows = []
        for table in ('"user"', "client", "token", "login_failure"):
            rows += (await tx.execute(text(f"select * from auth.{table}"))).all()
    kept = repr(rows)
    assert not any(secret in kept for secret in (PASSWORD, made["client_secret"], session))


async def test_a_write_by_cookie_from_another_origins_page_is_refused(user: Api) -> None:
    for origin in ("cross-site", "same-site"):
        for besides in ({}, {"Authorization": "Basic eDp5"}):
            headers = {"Sec-Fetch-Site": origin, **besides}
            assert (await user("POST", "/auth/oauth2/clients", {"name": "x"}, **headers)).status_code == 403
    assert (await user("POST", "/auth/oauth2/clients", {}, **{"Sec-Fetch-Site": "same-origin"})).status_code == 201


async def test_ensuring_the_operator_twice_changes_the_password_and_keeps_the_user(
    services: Services, http: httpx.AsyncClient
) -> None:
    async with services.sessions.begin() as tx:
        first = await auth.ensure_operator(tx, "root@example.net", "first password")
    async with services.sessions.begin() as tx:
        second = await auth.ensure_operator(tx, "Root@example.net", PASSWORD)
    assert first.id == second.id
    assert (await log_in(http, "root@example.net")).user_id == first.id


async def test_who_becomes_the_operator_leaves_no_way_in_to_who_had_that_login(user: Api, services: Services) -> None:
    made = (await user.post("/auth/oauth2/clients", {"name": "ci"})).json()
    form = {"grant_type": "client_credentials", **{name: made[name] for name in ("client_id", "client_secret")}}
    token = (await user.http.post("/api/auth/oauth2/token", data=form)).json()["access_token"]
    async with services.sessions.begin() as tx:
        await auth.ensure_operator(tx, user.login, "the operator's own password")

    assert (await user.get("/v2/auth/check")).status_code == 401
    program = Api(user.http, headers={"Authorization": f"Bearer {token}"})
    assert (await program.get("/v2/auth/check")).status_code == 401
    assert (await user.http.post("/api/auth/oauth2/token", data=form)).status_code == 401
