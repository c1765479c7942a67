"""Whatever is sent, by the description or against it: no 5xx, and answers are what the description says."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.integration.conftest import Database

from ccx.db import make_engine, make_session_factory
from ccx.ids import new_short_id
from ccx.rest import RestContext, create_app

from .conftest import PASSWORD, make_services, order

EXAMPLES = 12
"""Of each operation, twice: as they come, and with the id of a datastore that exists."""


class Target:
    """The API behind a real server, in a thread: the fuzzer is synchronous."""

    def __init__(self, url: str) -> None:
        self.url = url
        with httpx.Client(base_url=f"{url}/api") as http:
            body = {"login": f"{new_short_id()}@example.net", "password": PASSWORD, "termsAccepted": True}
            session = http.post("/auth/register", json=body).headers["set-cookie"].partition(";")[0]
            made = http.post("/auth/oauth2/clients", headers={"Cookie": session}).json()
            form = {
                "grant_type": "client_credentials",
                "client_id": made["client_id"],
                "client_secret": made["client_secret"],
            }
            token = http.post("/auth/oauth2/token", data=form).json()["access_token"]
            self.headers = {"Authorization": f"Bearer {token}"}

    def new_datastore(self) -> str:
        with httpx.Client(base_url=f"{self.url}/api", headers=self.headers) as http:
            answer = http.post("/prov/api/v2/cluster", json=order())
            # The fuzzer may have used up what one user can have.
            if answer.status_code == 422:
                first: str = http.get("/deployment/v3/data-stores").json()["data_stores"][0]["uuid"]
                return first
            uuid: str = answer.json()["uuid"]
            return uuid


@pytest.fixture(scope="module")
def target(database: Database, cloud_socket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    engine = make_engine(database.dsn)
    services = make_services(make_session_factory(engine), cloud_socket, tmp_path_factory.mktemp("fuzz"))
    server = uvicorn.Server(
        uvicorn.Config(create_app(RestContext(services, "1.0")), host="127.0.0.1", port=0, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        thread.join(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Target(f"http://127.0.0.1:{port}")
    server.should_exit = True
    thread.join(10)
    with contextlib.suppress(RuntimeError):
        engine.sync_engine.dispose(close=False)


@pytest.fixture(scope="module")
def described(target: Target) -> Any:
    return schemathesis.openapi.from_url(f"{target.url}/api/openapi.json")


api = schemathesis.pytest.from_fixture("described")


@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_no_request_makes_the_api_fail(case: schemathesis.Case, target: Target) -> None:
    checks = [
        not_a_server_error, response_schema_conformance, content_type_conformance, status_code_conformance,
    ]  # fmt: skip
    if "logout" not in case.path:
        case.call_and_validate(headers=target.headers, checks=checks)
    if "datastore_id" in (case.path_parameters or {}):
        case.path_parameters["datastore_id"] = target.new_datastore()
        case.call_and_validate(headers=target.headers, checks=checks)
