"""What tests of recovery share: a store, a server, and a control plane's parts over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.integration.recovery.plane import Plane, plane_of
from tests.postgres_server import PostgresServer, running_server
from tests.seaweedfs import SeaweedFs, seaweedfs

from ccx.recovery.places import ROLE


@pytest.fixture(scope="module")
async def weed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SeaweedFs]:
    async with seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of its own: what is copied is a whole server."""
    with running_server(max_wal_size="64MB") as running:
        with running.connect() as connection:
            connection.execute(f"create role {ROLE} login replication")
        yield running


@pytest.fixture
async def plane(server: PostgresServer, weed: SeaweedFs, tmp_path: Path) -> AsyncIterator[Plane]:
    async with plane_of(server, weed, tmp_path) as found:
        yield found
