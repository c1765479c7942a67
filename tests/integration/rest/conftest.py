"""The API as clients meet it: the real database, the simulated cloud, a runner, and nodes that phone home."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from tests.integration.conftest import Database
from tests.integration.saga.simulated import simulated_cloud

import ccx.runner.apply_firewall
import ccx.runner.create_datastore
import ccx.runner.delete_datastore  # noqa: F401
from ccx import auth
from ccx.clouds.simulated.control import Control
from ccx.clouds.simulated.driver import SimulatedCloud
from ccx.cmon.engines.simulated import SimulatedEngine
from ccx.cmon.simulated_channel import SimulatedChannel
from ccx.db import SessionFactory
from ccx.errors import NotFound
from ccx.ids import new_short_id
from ccx.jobs import Runner
from ccx.rest import RestContext, create_app
from ccx.runner.services import Installation, Services
from ccx.secrets import KeyRing, Vault
from ccx.settings import CloudConfig, InstanceType, Paths, Region, Settings, VolumeType
from ccx.stores.models import Node

PASSWORD = "correct horse battery"

NORTH = CloudConfig(
    code="north",
    type="simulated",
    name="North",
    regions=(
        Region(code="osl", name="Oslo", country_code="NO", city="Oslo", availability_zones=("osl-1", "osl-2", "osl-3")),
        Region(code="brg", name="Bergen"),
    ),
    instance_types=(
        InstanceType(code="small", name="Small", type="c2m4", cpu=2, ram=4, price=0.1),
        InstanceType(code="large", name="Large", type="c8m32", cpu=8, ram=32, price=0.4),
    ),
    volume_types=(
        VolumeType(code="ssd", name="SSD", min=10, max=1000, default=80),
        VolumeType(code="fast", name="Fast", has_iops=True, min=10, max=1000, default=80),
    ),
    network_types=("public", "private"),
)


class Names:
    """Published names, for tests to look at."""

    def __init__(self) -> None:
        self.records: dict[str, Mapping[str, Sequence[str]]] = {}

    async def publish(self, datastore: str, records: Mapping[str, Sequence[str]]) -> None:
        self.records[datastore] = records

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Api:
    """A caller: its credential and the calls. Answers are httpx responses."""

    http: httpx.AsyncClient
    user_id: UUID | None = None
    login: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        where = path if path == "/metrics" else f"/api{path}"
        return await self.http.request(method, where, json=body, headers={**self.headers, **named})

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self("GET", path, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self("POST", path, body, **headers)

    async def patch(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self("PATCH", path, body, **headers)

    async def put(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self("PUT", path, body, **headers)

    async def delete(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self("DELETE", path, body, **headers)

    async def create(self, **changes: Any) -> str:
        """Orders a datastore; its uuid."""
        answer = await self.post("/prov/api/v2/cluster", order(**changes))
        assert answer.status_code == 201, answer.text
        uuid: str = answer.json()["uuid"]
        return uuid

    async def started(self, **changes: Any) -> str:
        """Orders a datastore and waits until it serves. Needs the ``running`` fixture."""
        uuid = await self.create(**changes)
        await self.finished(uuid, "JOB_TYPE_DEPLOY_DATASTORE")
        return uuid

    async def finished(self, uuid: str, kind: str) -> None:
        """Waits for the newest job of a type, as existing clients do."""

        async def done() -> Any:
            jobs = (await self.get(f"/deployment/v2/data-stores/{uuid}/jobs?limit=10&offset=0")).json()["jobs"]
            job = next(job for job in jobs if job["type"] == kind)
            assert job["status"] != "JOB_STATUS_ERRORED", job
            return job["status"] == "JOB_STATUS_FINISHED"

        await eventually(done)


def order(**changes: Any) -> dict[str, Any]:
    """A good order of one node; ``general={"cluster_size": 3}`` changes parts of it."""
    good: dict[str, dict[str, Any]] = {
        "general": {"cluster_name": f"ds-{new_short_id()}", "cluster_size": 1, "db_vendor": "postgres"},
        "cloud": {"cloud_provider": "north", "cloud_region": "osl"},
        "instance": {"instance_size": "small", "volume_type": "ssd", "volume_size": 20},
        "network": {"network_type": "public"},
    }
    return {part: {**good.get(part, {}), **changes.get(part, {})} for part in {**good, **changes}}


async def eventually(condition: Callable[[], Awaitable[Any]], within: float = 30) -> Any:
    """What the condition returns once that is true; fails with what it last said."""
    seen = None
    try:
        async with asyncio.timeout(within):
            while not (seen := await condition()):
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"not within {within} s; last: {seen!r}")
    return seen


@pytest.fixture(scope="module")
async def cloud_socket() -> AsyncIterator[Path]:
    async with simulated_cloud() as process:
        yield process.socket


@pytest.fixture(scope="module")
async def cloud_control(cloud_socket: Path) -> AsyncIterator[Control]:
    """What sets the simulated cloud's limits and faults."""
    control = Control(cloud_socket)
    yield control
    await control.close()


def make_services(sessions: SessionFactory, cloud_socket: Path, home: Path) -> Services:
    """All that the API works with. Its connections belong to the event loop that first uses them."""
    settings = Settings(
        instance="test",
        max_sign_ups_per_address=10_000,  # all tests sign up from one
        paths=Paths(etc=home, var=home, run=home),
        clouds=(NORTH,),
        control_address="10.0.0.2",
        resolver_address="10.0.0.1",
        node_network="10.0.1.0/24",
    )
    cloud = SimulatedCloud.from_config(NORTH.model_copy(update={"endpoint": str(cloud_socket)}), settings)
    channel = SimulatedChannel(cloud_socket)
    engine = SimulatedEngine(channel)
    return Services(
        settings=settings,
        sessions=sessions,
        vault=Vault(KeyRing({1: b"k" * 32})),
        clouds={"north": cloud},
        channel=channel,
        names=Names(),
        installation=Installation(
            ca="CA", control_url="https://10.0.0.2", authorized_key="ssh-ed25519 AAAA control", apt_key="KEY"
        ),
        engine=lambda vendor, topology="": engine,
    )


@pytest.fixture(scope="module")
async def services(
    database: Database, cloud_socket: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    made = make_services(database.sessions, cloud_socket, tmp_path_factory.mktemp("instance"))
    yield made
    await made.clouds["north"].close()
    await made.channel.close()


@pytest.fixture(scope="module")
def app(services: Services, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    apt = tmp_path_factory.mktemp("apt")
    (apt / "Packages").write_text("Package: ccx-agent\n")
    return create_app(RestContext(services, agent_version="1.0", apt=apt))


@pytest.fixture(scope="module")
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps no cookies: each caller has its own credential."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://ccx.test")

    async def forget(response: httpx.Response) -> None:
        client.cookies.clear()

    client.event_hooks = {"response": [forget]}
    async with client:
        yield client


@pytest.fixture
def anonymous(http: httpx.AsyncClient) -> Api:
    return Api(http)


@pytest.fixture
async def user(http: httpx.AsyncClient) -> Api:
    return await sign_up(http)


@pytest.fixture
async def other(http: httpx.AsyncClient) -> Api:
    return await sign_up(http)


@pytest.fixture
async def operator(http: httpx.AsyncClient, services: Services) -> Api:
    login = f"op-{new_short_id()}@example.net"
    async with services.sessions.begin() as tx:
        await auth.ensure_operator(tx, login, PASSWORD)
    return await log_in(http, login)


async def sign_up(http: httpx.AsyncClient) -> Api:
    """A new user, logged in."""
    login = f"{new_short_id()}@example.net"
    body = {"login": login, "password": PASSWORD, "firstName": "A", "lastName": "B", "termsAccepted": True}
    return _caller(http, login, await http.post("/api/auth/register", json=body))


async def log_in(http: httpx.AsyncClient, login: str) -> Api:
    """Somebody who signed up before."""
    return _caller(http, login, await http.post("/api/v2/auth/login", json={"login": login, "password": PASSWORD}))


def _caller(http: httpx.AsyncClient, login: str, answer: httpx.Response) -> Api:
    assert answer.is_success, answer.text
    session = answer.headers["set-cookie"].partition("ccx-session=")[2].partition(";")[0]
    user_id = UUID(answer.json()["user"]["id"])
    return Api(http, user_id, login, {"Cookie": f"ccx-session={session}"})


@pytest.fixture(scope="module")
async def running(database: Database, services: Services, http: httpx.AsyncClient) -> AsyncIterator[None]:
    """A runner works on jobs, and nodes that booted phone home."""
    runner = Runner(database.engine, services, poll=0.5)
    tasks = [asyncio.create_task(runner.run()), asyncio.create_task(_boot_nodes(services, http))]
    yield
    runner.stop()
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [r for r in results if isinstance(r, Exception) and not isinstance(r, asyncio.CancelledError)]
    assert failures == []


async def _boot_nodes(services: Services, http: httpx.AsyncClient) -> None:
    """Does what cloud-init does on each server that has an address: trades its token, then says that it is ready."""
    while True:
        async with services.sessions() as tx:
            waiting = await tx.scalars(select(Node).where(Node.address.is_not(None), Node.phoned_home_at.is_(None)))
            for node in waiting:
                with contextlib.suppress(NotFound):
                    token = await services.vault.get(tx, f"node:{node.id}", "enrolment_token")
                    await http.post("/api/node/v1/enrol", json={"token": token})
                    await http.post("/api/node/v1/ready", json={"token": token})
        await asyncio.sleep(0.05)
