"""What the MCP server sends, reads and chokes on: JSON labels on everything, no empty JSON, the owner's header."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from ccx import jobs
from ccx.runner.services import Services
from ccx.stores import backups, datastores

from .conftest import PASSWORD, Api, eventually

pytestmark = pytest.mark.usefixtures("running")


class Mcp:
    """The server's HTTP habits."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._headers = {"Content-Type": "application/json"}

    async def log_in(self, login: str, password: str) -> None:
        body = json.dumps({"login": login, "password": password})
        answer = await self._http.post("/api/v2/auth/login", content=body, headers=self._headers)
        assert answer.is_success
        cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith("ccx-session="))
        self._adopt(answer, Cookie=cookie.partition(";")[0])

    async def log_in_as_client(self, client_id: str, secret: str) -> None:
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        token = (await self._http.post("/api/auth/oauth2/token", data=form)).json()["access_token"]
        bearer = f"Bearer {token}"
        self._adopt(await self._http.get("/api/v2/auth/check", headers={"Authorization": bearer}), Authorization=bearer)

    def _adopt(self, answer: httpx.Response, **credential: str) -> None:
        scope = answer.json()["scopes"][0]
        self._headers |= {**credential, "CCX-Owner": f"{scope['type']}:{scope['id']}"}

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        answer = await self._http.request(method, f"/api{path}", content=content, headers=self._headers)
        assert 200 <= answer.status_code <= 299, answer.text
        labelled = "application/json" in answer.headers.get("content-type", "")
        return json.loads(answer.content) if labelled else answer.text


@pytest.fixture
async def mcp(http: httpx.AsyncClient, user: Api) -> Mcp:
    client = Mcp(http)
    await client.log_in(user.login, PASSWORD)
    return client


async def created(mcp: Mcp) -> str:
    """A datastore, chosen from the wizard as the server chooses."""
    wizard = await mcp.call("GET", "/content/api/v1/deploy-wizard")
    provider = wizard["cloud"]["cloud_providers"][0]
    key = provider["code"].lower()
    size = min(wizard["instance"]["instance_sizes"][key], key=lambda s: (s["cpu"], s["ram"]))
    volume = wizard["instance"]["volume_types"][key][0]
    networks = wizard["network"]["network"][key]
    body = {
        "general": {
            "cluster_name": f"mcp-{id(mcp)}", "cluster_size": 3, "db_vendor": "postgresql", "db_version": "latest",
            "cluster_type": "postgres_streaming",
        },
        "cloud": {"cloud_provider": key, "cloud_region": provider["regions"][0]["code"]},
        "instance": {
            "instance_size": size["code"], "volume_type": volume["code"],
            "volume_size": wizard["instance"]["volume_sizes"][key][volume["code"]]["default"],
        },
        "network": {"network_type": next(n["code"] for n in networks if n["code"] == "public" and n["enabled"])},
        "notifications": {"enabled": False, "emails": []},
    }  # fmt: skip
    answer = await mcp.call("POST", "/prov/api/v2/cluster", body)
    uuid: str = answer.get("cluster_uuid") or answer["uuid"]
    return uuid


async def started(mcp: Mcp) -> str:
    uuid = await created(mcp)

    async def condition() -> bool:
        store = await mcp.call("GET", f"/deployment/v3/data-stores/{uuid}")
        return bool(store["cluster_status"] == "STARTED")

    await eventually(condition)
    return uuid


async def test_a_conversation_from_creating_a_datastore_to_deleting_it(mcp: Mcp) -> None:
    uuid = await created(mcp)
    fresh = await mcp.call("GET", f"/deployment/v3/data-stores/{uuid}")
    assert fresh["is_deploying"] is True
    assert not fresh["primary_url"]

    async def condition() -> Any:
        return (await mcp.call("GET", f"/deployment/v3/data-stores/{uuid}"))["cluster_status"] == "STARTED"

    await eventually(condition)

    listed = await mcp.call("GET", "/deployment/v3/data-stores?limit=10&offset=0")
    assert [store["uuid"] for store in listed["data_stores"]] == [uuid]
    assert listed["pagination"]["total"] == listed["total"] == 1
    assert "database_password" not in json.dumps(listed)

    store = await mcp.call("GET", f"/deployment/v3/data-stores/{uuid}")
    assert store["primary_url"]
    assert isinstance(store["db_account"]["database_password"], str)
    assert store["ssl_enabled"] is True
    assert (store["is_deploying"], store["deploy_progress"], store["current_job"]) == (False, 100, None)

    nodes = (await mcp.call("GET", f"/deployment/v2/data-stores/{uuid}/nodes"))["database_nodes"]
    assert sorted(node["role"] for node in nodes) == ["primary", "replica", "replica"]
    assert [node["readonly"] for node in nodes] == [node["role"] != "primary" for node in nodes]
    assert [node["host_status"] for node in nodes] == ["STARTED"] * 3

    await mcp.call("POST", f"/firewall/api/v1/firewall/{uuid}", {"source": "192.0.2.7", "description": ""})
    assert [r["source"] for r in await mcp.call("GET", f"/firewall/api/v1/firewalls/{uuid}")] == ["192.0.2.7"]
    await mcp.call("DELETE", f"/firewall/api/v1/firewall/{uuid}", {"source": "192.0.2.7"})
    assert await mcp.call("GET", f"/firewall/api/v1/firewalls/{uuid}") == []

    await mcp.call("DELETE", f"/prov/api/v2/cluster/{uuid}")

    async def gone() -> bool:
        return (await mcp.call("GET", "/deployment/v3/data-stores"))["data_stores"] == []

    await eventually(gone)


async def test_users_and_databases_are_made_listed_and_dropped(mcp: Mcp) -> None:
    uuid = await started(mcp)
    made = await mcp.call("POST", f"/userdb/api/v1/database/{uuid}", {"database_name": "orders"})
    assert (made["database_name"], made["status"]) == ("orders", "created")
    databases = await mcp.call("GET", f"/userdb/api/v1/databases/{uuid}")
    assert "orders" in [d["database_name"] for d in databases]
    user = {"database_username": "app", "database_password": "s3cret-enough", "database_name": "orders"}
    answer = await mcp.call("POST", f"/userdb/api/v1/user/{uuid}", user)
    assert answer["user_name"] == "app"
    assert "s3cret-enough" not in json.dumps(answer)
    listed = await mcp.call("GET", f"/userdb/api/v1/users/{uuid}")
    assert {"user_name", "grants", "host_allow", "auth_plugin"} <= set(listed[0])
    await mcp.call("DELETE", f"/userdb/api/v1/user/{uuid}", {"database_username": "app", "database_host": "%"})
    assert "app" not in [u["user_name"] for u in await mcp.call("GET", f"/userdb/api/v1/users/{uuid}")]
    await mcp.call("DELETE", f"/userdb/api/v1/database/{uuid}", {"database_name": "orders"})
    assert "orders" not in [d["database_name"] for d in await mcp.call("GET", f"/userdb/api/v1/databases/{uuid}")]


async def test_a_user_of_a_database_that_is_not_there_is_not_made(user: Api) -> None:
    uuid = await user.started()
    body = {"database_username": "app", "database_password": "long enough", "database_name": "nowhere"}
    answer = await user.post(f"/userdb/api/v1/user/{uuid}", body)
    assert (answer.status_code, answer.json()["field"]) == (404, "database_name")
    assert answer.json()["remedy"]
    assert "app" not in (await user.get(f"/userdb/api/v1/users/{uuid}")).text


async def test_client_credentials_act_for_the_same_owner_as_the_password(http: httpx.AsyncClient, user: Api) -> None:
    uuid = await user.create()
    made = (await user.post("/auth/oauth2/clients", {"name": "mcp"})).json()
    mcp = Mcp(http)
    await mcp.log_in_as_client(made["client_id"], made["client_secret"])
    assert [s["uuid"] for s in (await mcp.call("GET", "/deployment/v3/data-stores"))["data_stores"]] == [uuid]


ENDED = datetime(2026, 3, 1, 8, 9, tzinfo=UTC)


@pytest.fixture
async def backed_up(mcp: Mcp, services: Services, monkeypatch: pytest.MonkeyPatch) -> str:
    """A datastore with a backup in the records, on a cloud with an object store; restores are accepted, and wait."""
    uuid = await started(mcp)
    async with services.sessions.begin() as tx:
        datastore = await datastores.get(tx, UUID(uuid))
        row = {
            "label": "20260301-080900F", "parent": None, "kind": "full", "good": True, "size": 5_000_000,
            "stored": 1_000_000, "started_at": ENDED - timedelta(minutes=1), "ended_at": ENDED, "wal_first": None,
            "wal_last": None,
        }  # fmt: skip
        await backups.replace(tx, datastore, [row])
    cloud = services.settings.cloud(datastore.cloud)
    monkeypatch.setitem(vars(cloud), "s3_endpoint", "https://store.example.net")
    monkeypatch.setitem(vars(cloud), "s3_bucket", "backups")
    return uuid


async def test_a_backup_is_listed_and_restored_as_it_is_or_to_a_time(
    mcp: Mcp, services: Services, backed_up: str
) -> None:
    where = f"/backup/api/v1/backups/{backed_up}"
    (listed,) = (await mcp.call("GET", f"{where}?limit=20&offset=0"))["backups"]
    shown = {"backup_id", "parent_id", "backup_method", "backup_type", "status", "size", "started_at", "ended_at"}
    assert shown <= set(listed)

    restore = f"{where}/{listed['backup_id']}/restore"
    for stop, to in (
        (None, "backup"),
        ("2026-03-01T08:30:00Z", "2026-03-01T08:30:00+00:00"),
        ("2026-03-01T09:30:01+01:00", "2026-03-01T08:30:01+00:00"),
    ):
        body = {"pitr_stop_time": stop} if stop else {}
        answer = await mcp.call("POST", restore, body)
        assert (answer["backup_id"], answer["cluster_size"]) == (listed["backup_id"], 3)
        async with services.sessions.begin() as tx:
            made = await datastores.get(tx, UUID(answer["uuid"]))
            made.name = str(made.id)  # it was named by the second: the next one is ordered in the same
            (job, *_), _ = await jobs.history(tx, answer["uuid"], 1, 0)
        assert job.kind == "restore_datastore"
        assert made.origin is not None
        assert (made.origin["datastore"], made.origin["to"]) == (backed_up, to)

    with pytest.raises(AssertionError, match="Choose a"):
        await mcp.call("POST", restore, {"pitr_stop_time": "2026-03-01T08:09:00+01:00"})
