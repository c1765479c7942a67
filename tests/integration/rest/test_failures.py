"""What fails outside the request: it is said in the error's shape, retried where that helps, and gives nothing away."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from ccx.clouds.simulated.control import Control
from ccx.clouds.simulated.faults import Fault
from ccx.db import make_engine, make_session_factory
from ccx.rest import RestContext, create_app
from ccx.rest.routing import OpenRoute, router
from ccx.runner.services import Services
from ccx.runner.subject import node_scope
from ccx.stores import datastores
from ccx.stores.models import Datastore

from .conftest import Api, make_services, order


async def test_what_nobody_expected_is_a_500_with_an_id_and_its_cause_is_in_the_log_only(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(RestContext(services, "1.0"))
    broken = router(OpenRoute, "/api", "broken")

    @broken.get("/broken")
    async def fail() -> None:
        password = "hunter2"
        raise RuntimeError(f"the cause, {len(password)} characters")

    app.include_router(broken)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://ccx.test") as http:
        answer = await http.get("/api/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "cause" not in answer.text
    logged = capsys.readouterr().out
    assert answer.json()["request_id"] in logged
    assert "the cause" in logged
    assert "hunter2" not in logged.replace('password = "hunter2"', "")


async def test_without_its_database_the_api_says_503_and_when_to_come_back(cloud_socket: Path, tmp_path: Path) -> None:
    nowhere = make_engine("postgresql+psycopg://ccx@/nothing?host=/nonexistent")
    alone = make_services(make_session_factory(nowhere), cloud_socket, tmp_path)
    app = create_app(RestContext(alone, "1.0"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://ccx.test") as http:
        for answer in (
            await http.get("/api/health"),
            await http.get("/api/v2/auth/check", headers={"Authorization": "Bearer x"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, 503)
            assert answer.headers["retry-after"]
            assert "/nonexistent" not in answer.text
    await nowhere.dispose()


async def test_a_cloud_that_does_not_answer_is_503_and_nothing_is_stored(
    user: Api, services: Services, cloud_control: Control
) -> None:
    await cloud_control.add_fault(Fault(call="check_capacity", error="Unavailable"))
    answer = await user.post("/prov/api/v2/cluster", order())
    assert answer.status_code == 503
    assert answer.json()["remedy"]
    async with services.sessions() as tx:
        mine = select(func.count()).select_from(Datastore).where(Datastore.owner_id == user.user_id)
        assert await tx.scalar(mine) == 0


@pytest.mark.usefixtures("running")
async def test_a_node_that_does_not_answer_is_503_and_may_be_asked_again(user: Api, cloud_control: Control) -> None:
    uuid = await user.started()
    await cloud_control.add_fault(Fault(call="verb:put", error="NodeUnreachable"))
    body = {"database_name": "orders"}
    assert (await user.post(f"/userdb/api/v1/database/{uuid}", body)).status_code == 503
    assert (await user.post(f"/userdb/api/v1/database/{uuid}", body)).status_code == 201


@pytest.mark.usefixtures("running")
async def test_a_node_that_is_replaced_just_now_is_503_and_may_be_asked_again(user: Api, services: Services) -> None:
    uuid = UUID(await user.started())
    # As a replacement's last step leaves it to who read the datastore before.
    async with services.sessions.begin() as tx:
        (node,) = (await datastores.get(tx, uuid)).nodes
        await services.vault.forget(tx, node_scope(node.id))
    answer = await user.get(f"/userdb/api/v1/users/{uuid}")
    assert (answer.status_code, answer.json()["code"]) == (503, 503)
    assert answer.headers["retry-after"]
    assert node.label in answer.json()["err"]


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(("lacks", "what"), [("cloud", "the cloud gone"), ("instance_size", "the size gone")])
async def test_what_the_settings_no_longer_have_is_named_with_what_to_do(
    user: Api, services: Services, lacks: str, what: str
) -> None:
    uuid = UUID(await user.started())
    async with services.sessions.begin() as tx:
        setattr(await datastores.get(tx, uuid), lacks, "gone")
    answer = await user.get(f"/userdb/api/v1/users/{uuid}")
    told = {"code": 422, "err": f"{what} is no longer there", "field": None, "remedy": "Put it back into the settings"}
    assert (answer.status_code, answer.json()) == (422, told)
    if lacks == "cloud":
        for path in (f"/{uuid}", f"/{uuid}/restore", f"/{uuid}/drill"):
            assert (await user.post(f"/backup/api/v1/backups{path}", {})).json() == told
