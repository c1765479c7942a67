"""The network, probed from a temporary node: what operators get, and that a blocked row stops a creation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import pytest
from tests.integration.rest.conftest import Api, eventually

import ccx.runner.probe_network  # noqa: F401 - registers the operation
from ccx.clouds.simulated.control import Control
from ccx.network.probe import schema

RESOLVER = "10.0.0.1"


@pytest.fixture
async def blocked(cloud_control: Control) -> AsyncIterator[None]:
    """No node reaches its resolver."""
    await cloud_control.block(RESOLVER)
    yield
    await cloud_control.block()


async def probed(operator: Api, **wish: Any) -> dict[str, Any]:
    """Begins a probe, and waits for its end."""
    begun = await operator.post("/admin/network/probes", wish)
    assert begun.status_code == 202, begun.text
    uuid = begun.json()["probe_uuid"]

    async def ended() -> Any:
        told = (await operator.get(f"/admin/network/probes/{uuid}")).json()
        return told if told["job"]["status"] != "JOB_STATUS_RUNNING" else None

    found: dict[str, Any] = await eventually(ended)
    return found


async def on_cloud(operator: Api) -> list[Any]:
    found: list[Any] = (await operator.get("/admin/cloud/inventory")).json()["resources"]
    return found


@pytest.mark.usefixtures("running")
async def test_a_probe_tells_what_the_schema_says_and_leaves_nothing(operator: Api) -> None:
    before = await on_cloud(operator)

    told = await probed(operator)

    assert told["job"]["status"] == "JOB_STATUS_FINISHED"
    jsonschema_rs.validator_for(schema()).validate(told["report"])
    assert told["report"]["ok"]
    assert told["report"]["from"] == "a node on north (osl)"
    assert {"node.control-plane", "node.dns-udp", "node.dns-tcp"} <= {o["id"] for o in told["report"]["outcomes"]}
    assert await on_cloud(operator) == before
    listed = (await operator.get("/admin/datastores")).json()["data_stores"]
    assert told["probe_uuid"] not in [store["uuid"] for store in listed]


@pytest.mark.usefixtures("running", "blocked")
async def test_a_blocked_row_is_told_with_the_rule_and_the_job_did_its_work(operator: Api) -> None:
    told = await probed(operator, cloud="north", region="brg", rows=["node.dns-udp"])

    assert told["job"]["status"] == "JOB_STATUS_FINISHED"
    (outcome,) = told["report"]["outcomes"]
    assert not told["report"]["ok"]
    assert (outcome["result"], outcome["code"]) == ("failed", "timeout")
    assert outcome["rule"] == f"allow UDP 53 from the datastores' nodes to {RESOLVER}"
    assert told["report"]["from"] == "a node on north (brg)"


@pytest.mark.usefixtures("running", "blocked")
async def test_a_creation_fails_with_the_row_that_blocks_it_and_leaves_nothing(operator: Api, user: Api) -> None:
    before = await on_cloud(operator)
    uuid = await user.create(general={"cluster_size": 3})

    async def failed() -> Any:
        jobs = (await user.get(f"/deployment/v2/data-stores/{uuid}/jobs")).json()["jobs"]
        return next((job for job in jobs if job["status"] == "JOB_STATUS_ERRORED"), None)

    job = await eventually(failed)

    assert f"can't reach {RESOLVER}:53 (node.dns-udp)" in job["error"]
    assert f"llow UDP 53 from the datastores' nodes to {RESOLVER}" in job["remedy"]
    assert "a new node's job fails, names the resolver" in job["remedy"], "it says what breaks"
    assert await on_cloud(operator) == before


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"cloud": "moon"}, "cloud"),
        ({"region": "moon"}, "region"),
        ({"rows": ["db.postgresql"]}, "rows"),
        ({"row": []}, "row"),
    ],
)
async def test_what_can_not_be_probed_is_refused(operator: Api, wish: dict[str, Any], field: str) -> None:
    answer = await operator.post("/admin/network/probes", wish)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


@pytest.mark.usefixtures("running")
async def test_a_datastore_is_no_probe(operator: Api) -> None:
    uuid = await operator.create()
    assert (await operator.get(f"/admin/network/probes/{uuid}")).status_code == 404
