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
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
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
from .test_policy import POLICY

EXAMPLES = 8
"""Of each operation and mode; each again with the id of a datastore that exists."""

FUZZED = [(method, path) for method, path in POLICY if "logout" not in path and path != "/api/health"]
"""Log-out ends the session that the rest is called with; health has nothing to vary."""


class Target:
    """The API behind a real server, in a thread: the fuzzer is synchronous. Knows a user and a datastore of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        with httpx.Client(base_url=f"{url}/api") as http:
            body = {"login": f"{new_short_id()}@example.net", "password": PASSWORD, "termsAccepted": True}
            session = {"Cookie": http.post("/auth/register", json=body).headers["set-cookie"].partition(";")[0]}
            made = http.post("/auth/oauth2/clients", headers=session).json()
            http.cookies.clear()
            form = {
                "grant_type": "client_credentials",
                "client_id": made["client_id"],
                "client_secret": made["client_secret"],
            }
            token = http.post("/auth/oauth2/token", data=form).json()["access_token"]
            self.headers = {"Authorization": f"Bearer {token}"}
            self.datastore = http.post("/prov/api/v2/cluster", json=order(), headers=self.headers).json()["uuid"]


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


CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance, status_code_conformance]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["by the book", "against it"])
@pytest.mark.parametrize(("method", "path"), FUZZED)
def test_no_request_makes_the_api_fail(
    method: str, path: str, mode: GenerationMode, target: Target, described: Any
) -> None:
    """Bounded and repeatable: the same requests each time."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=target.headers, checks=CHECKS)
        if "{datastore_id}" in path:
            case.path_parameters["datastore_id"] = target.datastore
            case.call_and_validate(headers=target.headers, checks=CHECKS)

    check()
