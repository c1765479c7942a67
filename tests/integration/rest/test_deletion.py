"""Deleting works in any state, and its job stays to be seen; an operator sees what is left on the clouds."""

from __future__ import annotations

import pytest

from ccx.clouds.base import Tags, VolumeSpec
from ccx.clouds.simulated.control import Control
from ccx.clouds.simulated.faults import Fault
from ccx.runner.services import Services

from .conftest import Api, eventually

pytestmark = pytest.mark.usefixtures("running")


def jobs_of(uuid: str) -> str:
    return f"/deployment/v2/data-stores/{uuid}/jobs"


async def inventory(operator: Api) -> dict[str, bool]:
    """What is on the clouds, and whether it is orphaned."""
    answer = await operator.get("/admin/cloud/inventory")
    assert answer.status_code == 200, answer.text
    found = {resource["name"]: resource["orphaned"] for resource in answer.json()["resources"]}
    assert answer.json()["orphaned"] == sum(found.values())
    return found


async def test_a_deletion_in_the_middle_of_a_creation_leaves_nothing(user: Api, operator: Api) -> None:
    uuid = await user.create(general={"cluster_size": 3})

    async def on_the_cloud() -> bool:
        return bool((await user.get(f"/deployment/v2/data-stores/{uuid}/nodes")).json()["database_nodes"])

    await eventually(on_the_cloud)
    assert (await user.delete(f"/prov/api/v2/cluster/{uuid}")).json() == {}
    assert (await user.get(f"/deployment/v3/data-stores/{uuid}")).json()["cluster_status"] in ("DELETING", "DELETED")
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    left = (await operator.get("/admin/cloud/inventory")).json()["resources"]
    assert [resource for resource in left if resource["datastore_uuid"] == uuid] == []
    listed = (await user.get(jobs_of(uuid))).json()["jobs"]
    assert [job["type"] for job in listed] == ["JOB_TYPE_DESTROY_DATASTORE", "JOB_TYPE_DEPLOY_DATASTORE"]
    assert listed[1]["status"] == "JOB_STATUS_ERRORED"
    assert listed[1]["error"]


async def test_a_deletion_that_waits_for_the_cloud_says_so_and_ends_when_it_answers_again(
    user: Api, cloud_control: Control
) -> None:
    uuid = await user.started()
    await cloud_control.add_fault(Fault(call="delete_firewall", error="Unavailable", times=None))
    try:
        await user.delete(f"/prov/api/v2/cluster/{uuid}")

        async def why() -> str:
            shown = (await user.get(f"/deployment/v3/data-stores/{uuid}")).json()
            assert shown["cluster_status"] == "DELETING"
            return str(shown["cluster_status_text"])

        assert (await eventually(why)).startswith("the step 'firewall' is tried again: ")
    finally:
        await cloud_control.clear_faults()
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    job = (await user.get(jobs_of(uuid))).json()["jobs"][0]
    steps = (await user.get(f"{jobs_of(uuid)}/{job['job_id']}")).json()["steps"]
    assert [step["error"] for step in steps if step["error"]] == []
    assert next(step["attempts"] for step in steps if step["name"] == "firewall") > 1


async def test_deleting_again_while_it_is_deleted_starts_no_second_job(user: Api) -> None:
    uuid = await user.started()
    for _ in range(3):
        answer = await user.delete(f"/prov/api/v2/cluster/{uuid}")
        assert answer.status_code in (200, 404)
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    kinds = [job["type"] for job in (await user.get(jobs_of(uuid))).json()["jobs"]]
    assert kinds == ["JOB_TYPE_DESTROY_DATASTORE", "JOB_TYPE_DEPLOY_DATASTORE"]


async def test_a_deleted_datastores_name_is_free_and_it_takes_no_rules(user: Api) -> None:
    uuid = await user.started(general={"cluster_name": "again"})
    await user.delete(f"/prov/api/v2/cluster/{uuid}")
    rule = {"source": "192.0.2.7", "description": ""}
    assert (await user.post(f"/firewall/api/v1/firewall/{uuid}", rule)).status_code in (404, 409)
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    await user.create(general={"cluster_name": "again"})


async def test_a_job_shows_its_steps_with_their_times(user: Api) -> None:
    uuid = await user.started()
    job = (await user.get(jobs_of(uuid))).json()["jobs"][0]
    shown = (await user.get(f"{jobs_of(uuid)}/{job['job_id']}")).json()
    assert (shown["progress"], shown["error"]) == (100, None)
    assert {"firewall", "boot", "start", "form", "open"} <= {step["name"] for step in shown["steps"]}
    assert all(step["started_at"] <= step["finished_at"] for step in shown["steps"])
    assert (await user.get(f"{jobs_of(uuid)}/00000000-0000-0000-0000-000000000000")).status_code == 404


async def test_what_the_cloud_has_and_nobody_knows_is_orphaned(user: Api, operator: Api, services: Services) -> None:
    uuid = await user.started()
    tags = Tags(services.settings.instance, "nobody", token=1)
    await services.clouds["north"].create_volume(VolumeSpec("lost-volume", 10, "ssd", "osl"), tags)
    found = await inventory(operator)
    assert found.pop("lost-volume") is True
    assert found
    assert not any(found.values())
    store = (await user.get(f"/deployment/v3/data-stores/{uuid}")).json()
    listed = (await operator.get("/admin/cloud/inventory")).json()["resources"]
    known = [r for r in listed if r["datastore_uuid"] == uuid]
    assert {r["kind"] for r in known} >= {"server", "volume", "firewall"}
    assert {r["datastore_name"] for r in known} == {store["cluster_name"]}
    assert {r["owner"] for r in known} == {f"user:{user.user_id}"}
    await services.clouds["north"].delete_volume("lost-volume", tags)


async def test_the_connection_names_hosts_addresses_and_the_ca(user: Api) -> None:
    uuid = await user.started(general={"cluster_size": 3})
    connection = (await user.get(f"/deployment/v2/data-stores/{uuid}/connection")).json()
    nodes = (await user.get(f"/deployment/v2/data-stores/{uuid}/nodes")).json()["database_nodes"]
    assert [(n["host"], n["address"]) for n in connection["nodes"]] == [(n["hostname"], n["private_ip"]) for n in nodes]
    assert connection["ca"].startswith("-----BEGIN CERTIFICATE-----")
    assert connection["port"] == 5432
    store = (await user.get(f"/deployment/v3/data-stores/{uuid}")).json()
    assert (connection["primary"], connection["replicas"]) == (store["primary_url"], store["replica_url"])
