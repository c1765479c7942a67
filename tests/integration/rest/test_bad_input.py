"""Whatever is wrong with a request, the answer says what, where, and what to do; and nothing is half-done."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from ccx.clouds.simulated.control import Control
from ccx.jobs.models import JobRow, JobStatus
from ccx.runner.services import Services
from ccx.stores import datastores
from ccx.stores.models import Datastore

from .conftest import Api, order

CLUSTER = "/prov/api/v2/cluster"


async def rows(services: Services) -> tuple[int, int]:
    async with services.sessions() as tx:
        stores = await tx.scalar(select(func.count()).select_from(Datastore))
        jobs = await tx.scalar(select(func.count()).select_from(JobRow))
    return stores or 0, jobs or 0


BAD_ORDERS: list[tuple[dict[str, Any], str, str]] = [
    ({"general": {"db_vendor": "mysql"}}, "general.db_vendor", "postgres"),
    ({"general": {"db_vendor": "oracle"}}, "general.db_vendor", "postgres"),
    ({"general": {"db_version": "9.6"}}, "general.db_version", "17"),
    ({"general": {"db_version": "17.4"}}, "general.db_version", "17"),
    ({"general": {"cluster_type": "galera"}}, "general.cluster_type", "postgres_streaming"),
    ({"general": {"cluster_name": ""}}, "general.cluster_name", ""),
    ({"general": {"cluster_name": "a" * 64}}, "general.cluster_name", "63"),
    ({"general": {"cluster_name": "postgres"}}, "general.cluster_name", ""),
    ({"general": {"cluster_name": "CCXDB"}}, "general.cluster_name", ""),
    ({"general": {"cluster_name": "-x"}}, "general.cluster_name", "letter"),
    ({"general": {"cluster_name": "a\nb"}}, "general.cluster_name", "letter"),
    ({"general": {"cluster_name": "größe"}}, "general.cluster_name", "letter"),
    ({"general": {"cluster_size": 0}}, "general.cluster_size", "no automatic failover"),
    ({"general": {"cluster_size": 4}}, "general.cluster_size", "no automatic failover"),
    ({"general": {"cluster_size": -1}}, "general.cluster_size", ""),
    ({"general": {"cluster_size": 1.5}}, "general.cluster_size", ""),
    ({"general": {"tags": ["x\0"]}}, "general.tags.0", ""),
    ({"cloud": {"cloud_provider": "south"}}, "cloud.cloud_provider", "north"),
    ({"cloud": {"cloud_region": "par"}}, "cloud.cloud_region", "osl, brg"),
    ({"instance": {"instance_size": "huge"}}, "instance.instance_size", "small, large"),
    ({"instance": {"volume_type": "tape"}}, "instance.volume_type", "ssd, fast"),
    ({"instance": {"volume_size": 9}}, "instance.volume_size", "10 to 1000"),
    ({"instance": {"volume_size": 1001}}, "instance.volume_size", "10 to 1000"),
    ({"instance": {"volume_iops": 3000}}, "instance.volume_iops", "0"),
    ({"network": {"network_type": "carrier pigeon"}}, "network.network_type", "public, private"),
    ({"network": {"vpc_uuid": "0190"}}, "network.vpc_uuid", ""),
    ({"network": {"availability_zones": ["par-1"]}}, "network.availability_zones", "osl-1"),
    ({"network": {"availability_zones": ["osl-1", "osl-2"]}}, "network.availability_zones", ""),
    ({"notifications": {"enabled": True, "emails": ["nowhere"]}}, "notifications.emails", ""),
    ({"general": {"cluster_nam": "typo"}}, "general.cluster_nam", "cluster_name"),
    ({"generall": {}}, "generall", "general"),
]


@pytest.mark.parametrize(("changes", "field", "remedy"), BAD_ORDERS)
async def test_a_bad_order_names_its_field_and_what_there_is(
    user: Api, services: Services, changes: dict[str, Any], field: str, remedy: str
) -> None:
    before = await rows(services)
    answer = await user.post(CLUSTER, order(**changes))
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert (problem["code"], problem["field"]) == (422, field)
    assert problem["err"]
    assert remedy in problem["remedy"]
    assert await rows(services) == before


@pytest.mark.parametrize("part", ["general", "cloud", "instance"])
async def test_a_missing_part_is_named(user: Api, part: str) -> None:
    body = order()
    del body[part]
    answer = await user.post(CLUSTER, body)
    assert (answer.status_code, answer.json()["field"]) == (422, part)


async def test_what_the_cloud_cannot_hold_is_refused_before_anything_is_stored(
    user: Api, services: Services, cloud_control: Control
) -> None:
    await cloud_control.set_limits(cpu=3)
    try:
        before = await rows(services)
        answer = await user.post(CLUSTER, order(general={"cluster_size": 3}))
        assert answer.status_code == 422
        assert answer.json()["remedy"]
        assert await rows(services) == before
    finally:
        await cloud_control.set_limits(cpu=1000)


async def test_orders_side_by_side_stay_within_what_an_owner_may_have(
    user: Api, other: Api, services: Services
) -> None:
    limit, owner = services.settings.max_datastores_per_user, ("user", user.user_id)
    columns = await _columns(services, await user.create())
    async with services.sessions.begin() as tx:
        for number in range(limit - 3):
            await datastores.add(tx, owner, name=f"earlier-{number}", **columns)
    answers = await asyncio.gather(*(user.post(CLUSTER, order()) for _ in range(5)), other.post(CLUSTER, order()))
    assert sorted(answer.status_code for answer in answers[:5]) == [201, 201, 422, 422, 422]
    refused = next(answer.json() for answer in answers if answer.status_code == 422)
    assert (refused["err"], refused["field"]) == (f"you have {limit} datastores, which is the limit here", "general")
    assert "MAX_DATASTORES_PER_USER" in refused["remedy"]
    assert answers[5].status_code == 201, "somebody else's are counted"
    assert (await user.get("/deployment/v3/data-stores?limit=1")).json()["total"] == limit


async def _columns(services: Services, uuid: str) -> dict[str, Any]:
    """Of a datastore, for others that are like it."""
    async with services.sessions() as tx:
        made = await datastores.get(tx, UUID(uuid))
    names = (
        "vendor",
        "version",
        "cluster_type",
        "size",
        "cloud",
        "region",
        "instance_size",
        "volume_type",
        "volume_size",
    )
    return {name: getattr(made, name) for name in names}


async def test_a_name_can_be_given_once_and_again_by_another_owner(user: Api, other: Api) -> None:
    await user.create(general={"cluster_name": "orders"})
    taken = await user.post(CLUSTER, order(general={"cluster_name": "orders"}))
    assert (taken.status_code, taken.json()["field"]) == (409, "general.cluster_name")
    await other.create(general={"cluster_name": "orders"})


@pytest.mark.parametrize(
    ("word", "version", "kind"),
    [
        ("postgres", "", ""),
        ("postgresql", "latest", "postgres_streaming"),
        ("PSQL", "17", "psql"),
        ("pgsql", "17", "Postgres_Streaming"),
    ],
)
async def test_aliases_and_defaults_are_taken(user: Api, word: str, version: str, kind: str) -> None:
    uuid = await user.create(general={"db_vendor": word, "db_version": version, "cluster_type": kind})
    store = (await user.get(f"/deployment/v3/data-stores/{uuid}")).json()
    seen = (store["database_vendor"], store["database_version"], store["cluster_type"])
    assert seen == ("postgres", "17", "postgres_streaming")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"general": %s}' % (b"9" * 5000), 400),
    ],
)
async def test_a_body_that_is_no_object_is_refused_in_shape(user: Api, content: bytes, status: int) -> None:
    answer = await user.http.post(f"/api{CLUSTER}", content=content, headers=user.headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == status
    assert answer.json()["err"]
    assert answer.json()["remedy"]


async def test_a_body_over_a_mebibyte_is_413(user: Api) -> None:
    content = b'{"general": "' + b"x" * 1024 * 1024 + b'"}'
    answer = await user.http.post(f"/api{CLUSTER}", content=content, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (413, 413)


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "application/x-www-form-urlencoded"])
async def test_json_is_read_whatever_its_label_says(user: Api, content_type: str | None) -> None:
    headers = user.headers | ({"Content-Type": content_type} if content_type else {})
    answer = await user.http.post(f"/api{CLUSTER}", content=json.dumps(order()).encode(), headers=headers)
    assert answer.status_code == 201


async def test_unknown_paths_and_methods_are_refused_in_shape(user: Api) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("GET", "", 404), ("PUT", CLUSTER, 405)):
        answer = await user(method, path)
        assert (answer.status_code, answer.json()["code"]) == (status, status)
        assert answer.json()["remedy"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=99999999999999999999"])
async def test_a_page_out_of_bounds_names_its_parameter(user: Api, query: str) -> None:
    answer = await user.get(f"/deployment/v3/data-stores?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, query.partition("=")[0])


@pytest.mark.parametrize("id_", ["nonsense", "00000000-0000-0000-0000-000000000000"])
async def test_an_id_of_nothing_is_404(user: Api, id_: str) -> None:
    for path in (f"/deployment/v3/data-stores/{id_}", f"/firewall/api/v1/firewalls/{id_}"):
        assert (await user.get(path)).status_code == 404


BAD_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"new_instance_size": "large"}, "new_instance_size"),
    ({"new_instance_size": "huge"}, "new_instance_size"),
    ({"new_volume_size": 10}, "new_volume_size"),
    ({"new_volume_size": 500}, "new_volume_size"),
    ({"change_volume": {"new_volume_type": "fast", "new_volume_iops": 0, "new_volume_size": 0}},
     "change_volume.new_volume_type"),
    ({"add_nodes": {"specs": [{}]}}, "add_nodes.specs"),
    ({"remove_nodes": {"node_uuids": ["x"]}}, "remove_nodes.node_uuids"),
    ({"maintenance_settings": {"day_of_week": 0, "start_hour": 1, "end_hour": 3}}, "maintenance_settings.day_of_week"),
    ({"maintenance_settings": {"day_of_week": 1, "start_hour": 1, "end_hour": 24}}, "maintenance_settings.end_hour"),
    ({"maintenance_settings": {"day_of_week": 1, "start_hour": 3, "end_hour": 3}}, "maintenance_settings.end_hour"),
    ({"cluster_name": "cmon"}, "cluster_name"),
    ({"clustername": "x"}, "clustername"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), BAD_CHANGES)
async def test_a_change_that_cannot_be_made_names_its_field_and_changes_nothing(
    user: Api, change: dict[str, Any], field: str
) -> None:
    uuid = await user.create()
    before = (await user.get(f"/deployment/v3/data-stores/{uuid}")).json()
    answer = await user.patch(f"{CLUSTER}/{uuid}", {"tags": ["new"], **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert answer.json()["remedy"]
    assert (await user.get(f"/deployment/v3/data-stores/{uuid}")).json() == before


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("192.0.2.300", "192.0.2.7"),
        ("", "192.0.2.7"),
        ("2001:db8::1", "IPv4"),
        ("everywhere", "192.0.2.7"),
    ],
)
async def test_a_source_that_is_none_is_refused_with_what_was_meant(user: Api, source: str, remedy: str) -> None:
    uuid = await user.create()
    answer = await user.post(f"/firewall/api/v1/firewall/{uuid}", {"source": source, "description": ""})
    assert (answer.status_code, answer.json()["field"]) == (422, "source")
    assert remedy in answer.json()["remedy"]


async def test_a_rule_is_allowed_once_and_removed_once(user: Api) -> None:
    uuid = await user.create()
    rule = {"source": "192.0.2.0/24", "description": "app"}
    assert (await user.post(f"/firewall/api/v1/firewall/{uuid}", rule)).status_code == 201
    assert (await user.post(f"/firewall/api/v1/firewall/{uuid}", rule)).status_code == 409
    assert (await user.delete(f"/firewall/api/v1/firewall/{uuid}", rule)).status_code == 200
    assert (await user.delete(f"/firewall/api/v1/firewall/{uuid}", rule)).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/userdb/api/v1/user/{}", {"database_username": "app", "database_password": "long enough"}),
        ("/userdb/api/v1/database/{}", {"database_name": "app"}),
        ("/prov/api/v2/cluster/{}/certificates", {}),
        ("/prov/api/v2/cluster/{}/reads", {"current": True}),
    ],
)
async def test_what_needs_a_datastore_that_serves_is_409_with_its_job(
    user: Api, services: Services, path: str, body: dict[str, Any]
) -> None:
    uuid = await user.create()
    async with services.sessions.begin() as tx:
        job = await tx.scalar(
            update(JobRow).where(JobRow.key == uuid).values(status=JobStatus.RUNNING).returning(JobRow.id)
        )
    answer = (await user.post(path.format(uuid), body)).json()
    assert (answer["code"], answer["err"], answer["job_id"]) == (409, "the datastore is CREATING_CLUSTER", str(job))
    assert answer["remedy"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"database_username": "root"}, "database_username"),
        ({"database_username": "ccxadmin"}, "database_username"),
        ({"database_username": "a" * 64}, "database_username"),
        ({"database_username": "a;drop"}, "database_username"),
        ({"database_username": "sim_monitor"}, "database_username"),
        ({"database_password": "short"}, "database_password"),
        ({"database_password": "with\nnewline"}, "database_password"),
        ({"database_name": "ccxdb"}, "database_name"),
        ({"database_name": "SIM_shop"}, "database_name"),
        ({"database_host": "192.0.2.7"}, "database_host"),
        ({"database_privileges": "SELECT"}, "database_privileges"),
    ],
)
async def test_a_bad_database_user_names_its_field(user: Api, body: dict[str, str], field: str) -> None:
    uuid = await user.create()
    good = {"database_username": "app", "database_password": "long enough"}
    answer = await user.post(f"/userdb/api/v1/user/{uuid}", {**good, **body})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (body.get("database_password") or "long enough") not in answer.text
