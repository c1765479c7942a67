"""MariaDB's backups through the product: both kinds, a drill, and a new datastore as of a time and of a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.e2e.machine import Installed
from tests.e2e.mariadb_backups import MariaDbBackups
from tests.e2e.observed import nothing_undeclared

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    """One that offers MariaDB."""
    await new_installation.up("--set", "guard=enforce", "--set", "databases=[mariadb]")
    yield new_installation
    await nothing_undeclared(new_installation)


class TestMariaDbBackups(MariaDbBackups):
    topology = "replication"
