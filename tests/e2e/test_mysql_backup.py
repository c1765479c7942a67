"""Percona Server's backups through the product, on MySQL in its place: as MariaDB's, but that each is a full one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.e2e.machine import Installed
from tests.e2e.mariadb_backups import MariaDbBackups
from tests.e2e.observed import nothing_undeclared

from ccx.clouds.local.image import ensure_image
from ccx.errors import CcxError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ON_OFFER = 'databases=[{code: percona, name: MySQL, versions: ["9.7"]}]'


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    """One that offers MySQL."""
    try:
        await asyncio.to_thread(ensure_image, "baked-mysql")
    except CcxError as error:
        pytest.skip(f"NOT RUN: no MySQL to stand in for Percona Server: {error.err}")
    await new_installation.up("--set", "guard=enforce", "--set", ON_OFFER)
    yield new_installation
    await nothing_undeclared(new_installation)


class TestMySqlBackups(MariaDbBackups):
    vendor = "percona"
    topology = "replication"
    tool = "clone"
    increments = False
    position = "select @@global.gtid_executed"

    @staticmethod
    def numbers(first: int, last: int) -> str:
        counted = f"with recursive s (n) as (select {first} union all select n + 1 from s where n < {last})"
        return f"{counted} select /*+ set_var(cte_max_recursion_depth = {last - first + 2}) */ n from s"

    @staticmethod
    def following(position: str) -> str:
        server, _, spans = position.rpartition(",")[2].strip().partition(":")
        return f"{server}:{int(spans.rpartition('-')[2]) + 1}"

    @staticmethod
    def goes_on(position: str, before: str) -> bool:
        """It is another server, which has all that the one before it wrote."""
        return len(position.split(",")) == len(before.split(",")) + 1
