"""What the Terraform provider sends, reads and chokes on: no Content-Type, all keys each time, strict types."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from .conftest import Api, eventually

pytestmark = pytest.mark.usefixtures("running")


class Terraform:
    """The provider's HTTP habits."""

    def __init__(self, http: httpx.AsyncClient, client_id: str, secret: str) -> None:
        self._http, self._client_id, self._secret, self._token = http, client_id, secret, ""

    async def authenticate(self) -> None:
        basic = base64.b64encode(f"{quote(self._client_id)}:{quote(self._secret)}".encode()).decode()
        answer = await self._http.post(
            "/api/auth/oauth2/token",
            content=urlencode({"grant_type": "client_credentials"}),
            headers={"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.headers["content-type"].startswith("application/json")
        token = answer.json()
        assert not token.get("error")
        assert type(token["expires_in"]) is int
        self._token = f"{token['token_type']} {token['access_token']}"

    async def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        content = None if body is None else json.dumps(body).encode()
        request = self._http.build_request(method, f"/api{path}", content=content)
        for header in ("Accept", "Content-Type", "User-Agent"):
            request.headers.pop(header, None)
        request.headers["Authorization"] = self._token
        return await self._http.send(request)

    async def read(self, path: str) -> Any:
        answer = await self.call("GET", path)
        assert answer.status_code < 400, answer.text
        return answer.json()

    async def wait(self, uuid: str, kind: str) -> None:
        """The first entry of the type among the first ten counts."""

        async def ended() -> bool:
            listed = await self.read(f"/deployment/v2/data-stores/{uuid}/jobs?limit=10&offset=0")
            assert type(listed["total"]) is int
            job = next(job for job in listed["jobs"] if job["type"] == kind)
            assert type(job["job_id"]) is str
            assert job["status"] != "JOB_STATUS_ERRORED"
            return bool(job["status"] == "JOB_STATUS_FINISHED")

        await eventually(ended)


@pytest.fixture
async def terraform(http: httpx.AsyncClient, user: Api) -> Terraform:
    made = (await user.post("/auth/oauth2/clients", {"name": "terraform"})).json()
    client = Terraform(http, made["client_id"], made["client_secret"])
    await client.authenticate()
    return client


def resource(name: str, **general: Any) -> dict[str, Any]:
    """A create as the provider sends it: every key, null zones."""
    return {
        "general": {
            "cluster_name": name, "cluster_size": 1, "db_vendor": "postgres", "db_version": "", "cluster_type": "",
            "tags": [], **general,
        },
        "cloud": {"cloud_provider": "north", "cloud_region": "osl"},
        "instance": {"instance_size": "c2m4", "volume_type": "ssd", "volume_size": 80, "volume_iops": 0},
        "network": {"network_type": "public", "ha_enabled": False, "vpc_uuid": "", "availability_zones": None},
        "notifications": {"enabled": False, "emails": None},
    }  # fmt: skip


UNCHANGED = {
    "cluster_name": "", "tags": None, "new_instance_size": "", "new_volume_size": 0, "change_volume": None,
    "add_nodes": None, "remove_nodes": None, "notifications": None, "maintenance_settings": None,
}  # fmt: skip


def check_types(store: dict[str, Any]) -> None:
    """What the provider's decoder insists on."""
    for name in ("uuid", "cluster_name", "cluster_status", "cluster_type", "database_vendor", "database_version",
                 "cloud_provider", "instance_size", "disk_type", "primary_url", "replica_url"):  # fmt: skip
        assert type(store[name]) is str, name
    for name in ("cluster_size", "disk_size"):
        assert type(store[name]) is int, name
    assert store["iops"] is None or type(store["iops"]) is int
    assert type(store["region"]["code"]) is str
    for name in ("vpc", "db_account", "notifications", "maintenance_settings"):
        assert store[name] is None or isinstance(store[name], dict), name
    for name in ("created_at", "updated_at"):
        assert "T" in store[name]
        assert datetime.fromisoformat(store[name]).utcoffset() is not None


async def test_an_apply_and_a_destroy_go_through_and_a_second_plan_is_empty(terraform: Terraform) -> None:
    wizard = await terraform.read("/content/api/v1/deploy-wizard")
    vendor = next(v for v in wizard["database"]["vendors"] if v["code"] == "postgres")
    assert vendor["version"] == vendor["versions"][-1]
    assert "postgres_streaming" in [t["code"] for t in vendor["types"]]
    assert wizard["network"]["availability_zones"]["north"]["osl"]

    created = await terraform.call("POST", "/prov/api/v2/cluster", resource("orders", tags=["a"]))
    assert created.status_code < 400
    assert set(created.json()) == {"uuid", "cluster_uuid"}
    uuid = created.json()["uuid"]
    await terraform.wait(uuid, "JOB_TYPE_DEPLOY_DATASTORE")

    store = await terraform.read(f"/deployment/v3/data-stores/{uuid}")
    check_types(store)
    assert store["cluster_status"] == "STARTED"
    asked = {
        "cluster_name": "orders", "cluster_size": 1, "database_vendor": "postgres", "database_version": "17",
        "cluster_type": "postgres_streaming", "cloud_provider": "north", "disk_type": "ssd", "disk_size": 80,
        "iops": None, "vpc": None, "parameter_group_id": "", "high_availability": False, "tags": ["a"], "azs": [],
        "maintenance_settings": None, "notifications": {"enabled": False, "emails": []},
    }  # fmt: skip
    assert {name: store[name] for name in asked} == asked
    assert store["region"]["code"] == "osl"
    assert store["instance_size"] in ("small", "c2m4")
    assert "/" not in store["primary_url"]
    assert ":" not in store["primary_url"]
    assert store["db_account"]["database_password"].isalnum()
    assert await terraform.read(f"/firewall/api/v1/firewalls/{uuid}") == []
    nodes = (await terraform.read(f"/deployment/v2/data-stores/{uuid}/nodes"))["database_nodes"]
    assert [(node["role"], node["port"]) for node in nodes] == [("primary", 5432)]

    window = {"day_of_week": 1, "start_hour": 22, "end_hour": 0}
    changed = await terraform.call(
        "PATCH", f"/prov/api/v2/cluster/{uuid}", {**UNCHANGED, "maintenance_settings": window}
    )
    assert changed.status_code < 400
    for source in ("192.0.2.7", "198.51.100.0/24"):
        added = await terraform.call("POST", f"/firewall/api/v1/firewall/{uuid}", {"source": source, "description": ""})
        assert added.status_code < 400
    rules = await terraform.read(f"/firewall/api/v1/firewalls/{uuid}")
    assert [rule["source"] for rule in rules] == ["192.0.2.7", "198.51.100.0/24"]
    assert all(type(port["port"]) is str and type(port["port_no"]) is int for r in rules for port in r["ports"])
    again = await terraform.read(f"/deployment/v3/data-stores/{uuid}")
    assert {name: again[name] for name in asked} == {**asked, "maintenance_settings": window}

    assert (await terraform.call("DELETE", f"/prov/api/v2/cluster/{uuid}")).status_code < 400
    await terraform.wait(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    assert (await terraform.call("GET", f"/deployment/v3/data-stores/{uuid}")).status_code == 404
    assert (await terraform.call("DELETE", f"/prov/api/v2/cluster/{uuid}")).status_code == 404


async def test_firewall_rules_right_after_a_create_are_no_conflict_and_hide_no_job(terraform: Terraform) -> None:
    uuid = (await terraform.call("POST", "/prov/api/v2/cluster", resource("busy"))).json()["uuid"]
    for last in range(1, 16):
        rule = {"source": f"192.0.2.{last}", "description": "app"}
        answer = await terraform.call("POST", f"/firewall/api/v1/firewall/{uuid}", rule)
        assert answer.status_code < 400, answer.text
    await terraform.wait(uuid, "JOB_TYPE_DEPLOY_DATASTORE")
    removed = await terraform.call(
        "DELETE", f"/firewall/api/v1/firewall/{uuid}", {"source": "192.0.2.1", "description": "other words"}
    )
    assert removed.status_code < 400
    assert len(await terraform.read(f"/firewall/api/v1/firewalls/{uuid}")) == 14


async def test_a_patch_with_nothing_but_zero_values_changes_nothing(terraform: Terraform) -> None:
    uuid = (await terraform.call("POST", "/prov/api/v2/cluster", resource("same", tags=["kept"]))).json()["uuid"]
    await terraform.wait(uuid, "JOB_TYPE_DEPLOY_DATASTORE")
    before = await terraform.read(f"/deployment/v3/data-stores/{uuid}")
    assert (await terraform.call("PATCH", f"/prov/api/v2/cluster/{uuid}", UNCHANGED)).status_code < 400
    assert await terraform.read(f"/deployment/v3/data-stores/{uuid}") == before


async def test_a_rename_shows_in_the_very_next_read(terraform: Terraform) -> None:
    uuid = (await terraform.call("POST", "/prov/api/v2/cluster", resource("old-name"))).json()["uuid"]
    changes = {**UNCHANGED, "cluster_name": "new-name", "tags": [], "new_volume_size": 80, "new_instance_size": "c2m4"}
    assert (await terraform.call("PATCH", f"/prov/api/v2/cluster/{uuid}", changes)).status_code < 400
    assert (await terraform.read(f"/deployment/v3/data-stores/{uuid}"))["cluster_name"] == "new-name"


async def test_an_error_has_a_number_as_code_and_the_words_in_err(terraform: Terraform) -> None:
    refused = await terraform.call("POST", "/prov/api/v2/cluster", resource("x", db_version="17.4"))
    assert refused.status_code == 422
    assert type(refused.json()["code"]) is int
    assert refused.json()["err"]
    assert "error" not in refused.json()


async def test_credentials_are_taken_from_the_form_when_basic_fails(http: httpx.AsyncClient, user: Api) -> None:
    made = (await user.post("/auth/oauth2/clients", {"name": "terraform"})).json()
    first = await http.post(
        "/api/auth/oauth2/token",
        content="grant_type=client_credentials",
        headers={"Authorization": "Basic " + base64.b64encode(b"wrong:wrong").decode()},
    )
    assert (first.status_code, first.json()["error"]) == (401, "invalid_client")
    second = await http.post(
        "/api/auth/oauth2/token",
        data={
            "grant_type": "client_credentials",
            "client_id": made["client_id"],
            "client_secret": made["client_secret"],
        },
    )
    assert second.json()["token_type"] == "Bearer"
