"""Each caller meets its own datastores only; operators meet everybody's, and that is written down."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import select

from ccx.runner.services import Services
from ccx.runner.subject import datastore_scope
from ccx.stores.models import Audit

from .conftest import Api, order

STORES = "/deployment/v3/data-stores"


async def audited(services: Services, actor: Api) -> list[str]:
    async with services.sessions() as tx:
        rows = await tx.scalars(select(Audit.action).where(Audit.actor == f"user:{actor.user_id}").order_by(Audit.at))
        return list(rows)


async def test_a_list_holds_the_callers_own_and_pages_through_them(user: Api, other: Api) -> None:
    await other.create()
    mine = [await user.create() for _ in range(3)]
    pages = [(await user.get(f"{STORES}?limit=2&offset={offset}")).json() for offset in (0, 2)]
    assert [store["uuid"] for page in pages for store in page["data_stores"]] == mine
    assert pages[0]["datastores"] == pages[0]["data_stores"]
    assert [page["pagination"]["total"] for page in pages] == [3, 3]


async def test_somebody_elses_datastore_is_as_absent_as_one_that_never_was(user: Api, other: Api) -> None:
    uuid = await user.create()
    theirs = await other.get(f"{STORES}/{uuid}")
    nobodys = await other.get(f"{STORES}/00000000-0000-0000-0000-000000000000")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json()["err"].replace(uuid, "") == nobodys.json()["err"].rpartition(" ")[0] + " "


async def test_the_owner_header_takes_the_callers_own_scope_and_no_other(user: Api, other: Api) -> None:
    uuid = await user.create()
    assert (await user.get(f"{STORES}/{uuid}", CCX_Owner=f"user:{user.user_id}")).status_code == 200
    assert (await other.get(f"{STORES}/{uuid}", CCX_Owner=f"user:{user.user_id}")).status_code == 403
    for nonsense in ("user", "user:x", f"robot:{user.user_id}", ":"):
        answer = await user.get(STORES, CCX_Owner=nonsense)
        assert (answer.status_code, answer.json()["field"]) == (422, "CCX-Owner")


async def test_an_operator_reads_every_datastore_and_is_audited(user: Api, operator: Api, services: Services) -> None:
    uuid = await user.create()
    assert (await operator.get(f"{STORES}/{uuid}")).status_code == 200
    listed = (await operator.get("/admin/datastores?limit=100")).json()
    assert {"uuid": uuid, "owner": f"user:{user.user_id}"} in [
        {"uuid": store["uuid"], "owner": store["owner"]} for store in listed["data_stores"]
    ]
    assert await audited(services, operator) == [f"GET /api{STORES}/{uuid}", "list datastores of all owners"]


async def test_an_operator_changes_a_foreign_datastore_only_in_its_owners_name(
    user: Api, operator: Api, services: Services
) -> None:
    uuid = await user.create()
    path = f"/prov/api/v2/cluster/{uuid}"
    assert (await operator.patch(path, {"tags": ["x"]})).status_code == 404
    assert (await operator.patch(path, {"tags": ["x"]}, CCX_Owner=f"user:{user.user_id}")).status_code == 200
    assert (await user.get(f"{STORES}/{uuid}")).json()["tags"] == ["x"]
    assert await audited(services, operator) == [f"PATCH /api{path}"]


async def test_a_path_that_no_database_can_hold_is_404_and_no_failure(user: Api, operator: Api) -> None:
    path = f"/backup/api/v1/backups/{await user.create()}/%00/restore"
    for caller in (user, operator):
        assert (await caller.post(path, {}, CCX_Owner=f"user:{user.user_id}")).status_code == 404


async def test_a_write_that_was_refused_is_not_audited_as_done(user: Api, operator: Api, services: Services) -> None:
    answer = await operator.post(
        "/prov/api/v2/cluster", order(cloud={"cloud_region": "par"}), CCX_Owner=f"user:{user.user_id}"
    )
    assert answer.status_code == 422
    assert await audited(services, operator) == []


@pytest.mark.usefixtures("running")
async def test_the_password_is_in_its_owners_single_read_and_nowhere_else(
    user: Api, other: Api, operator: Api, services: Services
) -> None:
    uuid = await user.started()
    async with services.sessions() as tx:
        password = await services.vault.get(tx, datastore_scope(UUID(uuid)), "admin")
    store = await user.get(f"{STORES}/{uuid}")
    connection = await user.get(f"/deployment/v2/data-stores/{uuid}/connection")
    assert store.json()["db_account"]["database_password"] == connection.json()["password"] == password
    as_owner = {"CCX_Owner": f"user:{user.user_id}"}
    elsewhere = [
        await user.get(STORES),
        await user.get(f"/deployment/v2/data-stores/{uuid}/nodes"),
        await user.get(f"/deployment/v2/data-stores/{uuid}/jobs?routine=true"),
        await user.get(f"/userdb/api/v1/users/{uuid}"),
        await other.get(f"{STORES}/{uuid}"),
        await operator.get(f"{STORES}/{uuid}"),
        await operator.get(f"{STORES}/{uuid}", **as_owner),
        await operator.get(f"/deployment/v2/data-stores/{uuid}/connection", **as_owner),
        await operator.get("/admin/datastores?limit=100"),
        await operator.get("/admin/cloud/inventory"),
    ]
    assert [answer.text for answer in elsewhere if password in answer.text] == []
    jobs = (await user.get(f"/deployment/v2/data-stores/{uuid}/jobs")).json()["jobs"]
    steps = await user.get(f"/deployment/v2/data-stores/{uuid}/jobs/{jobs[0]['job_id']}")
    assert password not in steps.text


async def test_a_job_is_found_by_its_id_alone_by_its_owner_and_operators_only(
    user: Api, other: Api, operator: Api, services: Services
) -> None:
    uuid = await user.create()
    listed = (await user.get(f"/deployment/v2/data-stores/{uuid}/jobs")).json()["jobs"][0]
    path = f"/deployment/v2/jobs/{listed['job_id']}"
    found = await user.get(path)
    assert found.status_code == 200
    assert found.json()["datastore_uuid"] == uuid
    assert {name: found.json()[name] for name in ("job_id", "type", "created_at")} == {
        name: listed[name] for name in ("job_id", "type", "created_at")
    }
    theirs, nobodys = await other.get(path), await other.get(f"/deployment/v2/jobs/{uuid}")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json()["err"] == f"there is no job {listed['job_id']}"
    assert nobodys.json()["err"] == f"there is no job {uuid}"
    assert (await operator.get(path)).status_code == 200
    assert await audited(services, operator) == [f"GET /api{path}"]
