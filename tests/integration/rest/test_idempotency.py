"""A request that is repeated because its answer got lost is done once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from ccx.db import utc_now
from ccx.ids import new_short_id
from ccx.rest.models import RememberedRequest
from ccx.runner.services import Services
from ccx.stores.models import Datastore

from .conftest import Api, order

CLUSTER = "/prov/api/v2/cluster"


async def owned(services: Services, owner: Api) -> int:
    async with services.sessions() as tx:
        count = select(func.count()).select_from(Datastore).where(Datastore.owner_id == owner.user_id)
        return await tx.scalar(count) or 0


async def test_a_repeated_create_answers_the_first_ones_id(user: Api, services: Services) -> None:
    key, body = new_short_id(), order()
    first = await user.post(CLUSTER, body, Idempotency_Key=key)
    second = await user.post(CLUSTER, body, Idempotency_Key=key)
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await owned(services, user) == 1


async def test_of_many_at_once_one_is_done_and_all_get_its_answer(user: Api, services: Services) -> None:
    key, body = new_short_id(), order()
    answers = await asyncio.gather(*(user.post(CLUSTER, body, Idempotency_Key=key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["uuid"] for answer in answers}) == 1
    assert await owned(services, user) == 1


async def test_without_a_key_each_request_counts(user: Api, services: Services) -> None:
    for _ in range(2):
        await user.create()
    assert await owned(services, user) == 2


async def test_the_same_key_for_another_request_is_refused(user: Api) -> None:
    key = new_short_id()
    uuid = (await user.post(CLUSTER, order(), Idempotency_Key=key)).json()["uuid"]
    for answer in (
        await user.post(CLUSTER, order(), Idempotency_Key=key),
        await user.delete(f"{CLUSTER}/{uuid}", Idempotency_Key=key),
    ):
        assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


async def test_a_key_belongs_to_its_owner(user: Api, other: Api) -> None:
    key, body = new_short_id(), order()
    mine = await user.post(CLUSTER, body, Idempotency_Key=key)
    theirs = await other.post(CLUSTER, body, Idempotency_Key=key)
    assert theirs.status_code == 201
    assert mine.json() != theirs.json()


async def test_a_refusal_is_not_remembered(user: Api) -> None:
    key, body = new_short_id(), order()
    other_name = await user.create(general={"cluster_name": body["general"]["cluster_name"]})
    assert (await user.post(CLUSTER, body, Idempotency_Key=key)).status_code == 409
    await user.patch(f"{CLUSTER}/{other_name}", {"cluster_name": f"moved-{key}"})
    assert (await user.post(CLUSTER, body, Idempotency_Key=key)).status_code == 201


async def test_a_key_is_forgotten_after_a_day(user: Api, services: Services) -> None:
    key = new_short_id()
    await user.post(CLUSTER, order(), Idempotency_Key=key)
    async with services.sessions.begin() as tx:
        long_ago = utc_now() - timedelta(hours=25)
        await tx.execute(update(RememberedRequest).where(RememberedRequest.key == key).values(created_at=long_ago))
    assert (await user.post(CLUSTER, order(), Idempotency_Key=key)).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_refused(user: Api, key: str) -> None:
    answer = await user.post(CLUSTER, order(), Idempotency_Key=key)
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


async def test_answers_that_hold_a_secret_are_never_kept(user: Api, services: Services) -> None:
    made = await user.post("/auth/oauth2/clients", {"name": "x"}, Idempotency_Key=new_short_id())
    async with services.sessions() as tx:
        bodies = await tx.scalars(select(RememberedRequest.body).where(RememberedRequest.owner_id == user.user_id))
        assert list(bodies) == []
    assert made.status_code == 201


@pytest.mark.usefixtures("running")
async def test_a_repeated_database_user_is_answered_and_not_made_again(user: Api) -> None:
    uuid, key = await user.started(), new_short_id()
    body = {"database_username": "app", "database_password": "long enough"}
    first = await user.post(f"/userdb/api/v1/user/{uuid}", body, Idempotency_Key=key)
    await user.delete(f"/userdb/api/v1/user/{uuid}", {"database_username": "app"})
    second = await user.post(f"/userdb/api/v1/user/{uuid}", body, Idempotency_Key=key)
    assert first.json() == second.json()
    names = [u["user_name"] for u in (await user.get(f"/userdb/api/v1/users/{uuid}")).json()]
    assert "app" not in names
