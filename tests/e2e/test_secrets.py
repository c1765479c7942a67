"""Secrets of a whole life of a datastore stand in no log, argument, environment, job, event or answer.

A datastore is created, used, fails over, is repaired and deleted, while every secret that there is at any time is
remembered. Then each of them is looked for everywhere.
"""

from __future__ import annotations

import json
import secrets as random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e import secret_search
from tests.e2e.machine import eventually
from tests.e2e.secret_search import ProcessWatch, Secrets, VaultWatch, search
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant, operator, select

SHOWN = ("/connection", "/auth/oauth2/token", "/auth/oauth2/clients")
"""Answers that are there to show a secret to its owner, beside the datastore itself."""


@dataclass
class Life:
    """What was found in a datastore's life."""

    secrets: Secrets = field(repr=False)
    tokens: list[str] = field(repr=False)
    """Enrolment tokens."""
    places: dict[str, dict[str, bytes]] = field(default_factory=dict, repr=False)
    """By kind, then by name."""
    shown: bytes = field(default=b"", repr=False)
    """What the owner is shown."""

    def add(self, kind: str, found: dict[str, bytes]) -> None:
        known = self.places.setdefault(kind, {})
        for place, content in found.items():
            known[place] = known.get(place, b"") + content


@pytest.fixture(scope="module")
async def life(tenant: Tenant, local: LocalSide, folder: Path) -> Life:
    installed = tenant.installed
    answers: dict[str, bytes] = {}
    _keep_answers(tenant, "owner", answers)
    vault = VaultWatch(installed)
    known = secret_search.of_the_installation(installed)
    known["user's password"] = tenant.password
    known["session"] = tenant.http.cookies["ccx-session"]
    client = await tenant.call("POST", "auth/oauth2/clients", {"name": "ci"})
    known["client secret"] = client["client_secret"]
    form = {"grant_type": "client_credentials", **{k: client[k] for k in ("client_id", "client_secret")}}
    known["access token"] = (await tenant.http.post("/api/auth/oauth2/token", data=form)).json()["access_token"]

    with ProcessWatch() as arguments:
        async with vault.always():
            store = await tenant.create("orders", 3)
            known["database user's password"] = await _use(store, folder)
            shown = json.dumps(await store.connection()).encode()
            await _look_around(store)
            await _fail_over(store, local)
            await _look_around(store)
            found = Life(known, [])
            found.add("the nodes' logs", await secret_search.machines(installed, local.cloud))
            found.add("environments", secret_search.environments())
            found.add("user data", secret_search.user_data(installed))
            found.add("the database", await secret_search.database(installed))
            async with operator(installed) as other:
                known["operator's session"] = other.http.cookies["ccx-session"]
                other.http.headers["CCX-Owner"] = f"user:{(await tenant.call('GET', 'auth/check'))['user']['id']}"
                _keep_answers(other, "operator", answers)
                await _look_around(store, other)
            await store.delete()
    found.secrets |= vault.seen
    found.tokens = [value for name, value in vault.seen.items() if name.endswith("enrolment_token")]
    found.shown = shown
    # The owner's own account, in the answer that existing clients compute connection strings from.
    single = f"owner: GET /api/deployment/v3/data-stores/{store.uuid}"
    admin = vault.seen[f"datastore:{store.uuid} admin"].encode()
    assert admin in answers[single]
    assert len(answers[single.replace("owner", "operator")]) > 500
    answers[single] = answers[single].replace(admin, b"")
    found.add("API answers", answers)
    found.add("arguments", arguments.places())
    found.add("the control plane's logs", secret_search.files(installed.layout.logs))
    found.add("NATS", secret_search.files(installed.layout.var / "nats"))
    found.add("the database", await secret_search.database(installed))
    return found


def _keep_answers(caller: Tenant, who: str, answers: dict[str, bytes]) -> None:
    """From now on, by who was answered and what was asked."""

    async def keep(answer: httpx.Response) -> None:
        body = await answer.aread()
        if not answer.request.url.path.endswith(SHOWN):
            where = f"{who}: {answer.request.method} {answer.request.url.path}"
            answers[where] = answers.get(where, b"") + body

    caller.http.event_hooks["response"].append(keep)


async def _use(store: Store, folder: Path) -> str:
    """A user with a password of their own, who connects; the answer is repeatable, so it is remembered."""
    password = random.token_urlsafe(16)
    body = {"database_username": "clerk", "database_password": password, "database_name": "defaultdb"}
    for _ in range(2):
        answer = await store.tenant.http.post(
            f"/api/userdb/api/v1/user/{store.uuid}", json=body, headers={"Idempotency-Key": "clerk-1"}
        )
        assert answer.status_code == 201, answer.text
    assert await select(await store.read_write(folder, user="clerk", password=password), "select 1") == 1
    # Refused, with the password in the request: errors are answers, too.
    bad = {**body, "database_name": "nosuch", "unknown_field": password}
    assert (await store.tenant.answer("POST", f"userdb/api/v1/user/{store.uuid}", bad)).is_client_error
    return password


async def _look_around(store: Store, caller: Tenant | None = None) -> None:
    """Reads everything that there is to read."""
    asking = caller or store.tenant
    deployment = f"deployment/v2/data-stores/{store.uuid}"
    paths = [
        "openapi.json", "auth/check", "auth/oauth2/clients", "deployment/v3/data-stores",
        "content/api/v1/deploy-wizard",
        f"deployment/v3/data-stores/{store.uuid}", f"{deployment}/nodes", f"{deployment}/jobs?routine=true",
        f"userdb/api/v1/users/{store.uuid}", f"userdb/api/v1/databases/{store.uuid}",
        f"firewall/api/v1/firewalls/{store.uuid}", "admin/datastores", "admin/cloud/inventory",
    ]  # fmt: skip
    paths += [f"{deployment}/jobs/{job['job_id']}" for job in await store.jobs()]
    for path in paths:
        await asking.answer("GET", path)


async def _fail_over(store: Store, local: LocalSide) -> None:
    gone = await store.primary()
    await local.cloud.kill(gone["hostname"])

    async def replaced() -> bool:
        return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]

    await eventually(replaced, REPAIRED_WITHIN, every=0.5, what="the node is replaced")
    await store.until_started(REPAIRED_WITHIN)


KINDS = (
    "the control plane's logs", "the nodes' logs", "arguments", "environments", "the database", "NATS", "API answers",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_stands_in(kind: str, life: Life) -> None:
    assert sum(map(len, life.places[kind].values())) > 1000, "there is something to search"
    assert search(life.secrets, life.places[kind]) == []


def test_user_data_holds_no_secret_but_the_enrolment_token(life: Life) -> None:
    assert len(life.places["user data"]) == 3
    found = search(life.secrets, life.places["user data"])
    assert {name.partition(" ")[2] for name, _ in found} == {"enrolment_token"}
    assert len(found) == 3


async def test_an_enrolment_token_is_useless_once_its_node_is_there(life: Life, tenant: Tenant) -> None:
    assert len(life.tokens) == 4
    for token in life.tokens:
        for what in ("enrol", "ready", "failed"):
            answer = await tenant.answer("POST", f"node/v1/{what}", {"token": token})
            assert answer.status_code == 401, answer.text


def test_what_was_looked_for_is_all_that_there_was(life: Life) -> None:
    """Of the datastore, of each of its four nodes, of the installation and of people."""
    kinds: dict[str, int] = {}
    for name in life.secrets:
        scope, _, what = name.partition(" ")
        kind = f"{scope.partition(':')[0]} {what}" if ":" in scope else name
        kinds[kind] = kinds.get(kind, 0) + 1
    expected: dict[str, Any] = {
        **dict.fromkeys(("superuser", "replication", "rewind", "admin", "ca.key", "control.key"), 1)
    }
    assert {kind: count for kind, count in kinds.items() if kind.startswith("datastore ")} == {
        f"datastore {name}": count for name, count in expected.items()
    }
    assert {kind: count for kind, count in kinds.items() if kind.startswith("node ")} == {
        f"node {name}": 4 for name in ("ssh_host_key", "enrolment_token", "tls.key")
    }


def test_the_search_finds_each_secret_where_it_stands(life: Life) -> None:
    """The search itself: the owner's answer has the password; and any secret is found in any kind of text."""
    assert [name.partition(" ")[2] for name, _ in search(life.secrets, {"connection": life.shown})] == ["admin"]
    for name, value in life.secrets.items():
        for planted in (value, json.dumps({"detail": value})):
            assert name in [found for found, _ in search(life.secrets, {"log": f"x {planted} y".encode()})], name
