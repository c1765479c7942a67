"""Nodes phone home: one token for one host key."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from ccx.db import utc_now
from ccx.runner.services import Services
from ccx.runner.steps import reserve
from ccx.stores import nodes
from ccx.stores.models import Enrolment, Node

from .conftest import Api


class Waiting:
    """A node that was asked for and did not boot yet."""

    def __init__(self, node: Node, token: str, host_key: str) -> None:
        self.node, self.token, self.host_key = node, token, host_key


@pytest.fixture
async def waiting(user: Api, services: Services) -> Waiting:
    uuid = UUID(await user.create())
    async with services.sessions.begin() as tx:
        node = await reserve.node(tx, services, uuid, 1)
        token = await services.vault.get(tx, f"node:{node.id}", "enrolment_token")
        host_key = await services.vault.get(tx, f"node:{node.id}", "ssh_host_key")
    return Waiting(node, token, host_key)


async def test_a_node_gets_its_host_key_for_its_token(anonymous: Api, waiting: Waiting) -> None:
    for answer in (
        await anonymous.post("/node/v1/enrol", {"token": waiting.token}),
        await anonymous.post("/node/v1/enrol", Authorization=f"Bearer {waiting.token}"),
    ):
        assert answer.json() == {
            "host_key": waiting.host_key,
            "host_key_public": waiting.node.host_key,
            "authorized_key": "ssh-ed25519 AAAA control",
            "agent_version": "1.0",
        }
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("verb", ["enrol", "ready", "failed"])
async def test_a_wrong_missing_or_expired_token_is_401(
    anonymous: Api, waiting: Waiting, services: Services, verb: str
) -> None:
    async with services.sessions.begin() as tx:
        enrolment = await tx.get_one(Enrolment, waiting.node.id)
        enrolment.expires_at = utc_now() - timedelta(seconds=1)
    for body in (None, {}, {"token": ""}, {"token": "wrong\0"}, {"token": waiting.token}):
        assert (await anonymous.post(f"/node/v1/{verb}", body)).status_code == 401


async def test_ready_is_recorded_once_and_can_be_repeated(anonymous: Api, waiting: Waiting, services: Services) -> None:
    seen = []
    for _ in range(2):
        assert (await anonymous.post("/node/v1/ready", {"token": waiting.token})).json() == {}
        async with services.sessions() as tx:
            seen.append((await nodes.get(tx, waiting.node.id)).phoned_home_at)
    assert seen[0] is not None
    assert seen[0] == seen[1]


async def test_a_failed_bootstrap_keeps_its_reason(anonymous: Api, waiting: Waiting, services: Services) -> None:
    body = {"token": waiting.token, "error": "apt: \0no\nroute", "log": ["a", "b"]}
    assert (await anonymous.post("/node/v1/failed", body)).status_code == 200
    async with services.sessions() as tx:
        assert (await nodes.get(tx, waiting.node.id)).bootstrap_error == "apt:  no route"


async def test_a_node_that_is_released_can_not_enrol(anonymous: Api, waiting: Waiting, services: Services) -> None:
    async with services.sessions.begin() as tx:
        await reserve.release_node(tx, services, waiting.node.id)
    assert (await anonymous.post("/node/v1/enrol", {"token": waiting.token})).status_code == 401


async def test_packages_are_served_and_nothing_beside_them(anonymous: Api) -> None:
    packages = await anonymous.http.get("/apt/Packages")
    assert packages.text == "Package: ccx-agent\n"
    for path in ("/apt/nothing", "/apt/../conftest.py", "/apt/%2e%2e/x", "/apt/"):
        assert (await anonymous.http.get(path)).status_code == 404
