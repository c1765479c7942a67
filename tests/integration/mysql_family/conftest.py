"""Real servers of the family, in a folder of their own: MariaDB, and MySQL in Percona Server's place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.mariadb_rig import CanNotBeHad, MySqlRig, Rig, programs
from tests.seaweedfs import SeaweedFs, seaweedfs


@pytest.fixture(scope="module", params=[Rig, MySqlRig], ids=["mariadb", "mysql"])
def kind(request: pytest.FixtureRequest) -> type[Rig]:
    """Files that name no server themselves run on each of them."""
    found: type[Rig] = request.param
    return found


@pytest.fixture(scope="module")
def root(kind: type[Rig]) -> Iterator[Path]:
    """Where its programs are."""
    try:
        with programs(kind.image) as found:
            yield found
    except CanNotBeHad as error:
        pytest.skip(f"NOT RUN: {error}")


@pytest.fixture(scope="module")
async def weed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SeaweedFs]:
    async with seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        yield running
