"""Rows of the contract are blocked one at a time, as a firewall does that drops: around one datastore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.observed import nothing_undeclared
from tests.e2e.rows_blocked.datastore import started, writable
from tests.e2e.tenant import Store, Tenant

BACK_WITHIN = 120.0


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    """As elsewhere, but that nodes have two minutes to phone home."""
    await new_installation.up("--set", "auto_repair.delay=5", "--set", "cloud_init_timeout_minutes=2")
    yield new_installation
    await nothing_undeclared(new_installation)


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    """Three nodes, open to this machine. Every test leaves it STARTED, with the nodes that it had."""
    return await tenant.create("orders", 3)


@pytest.fixture
async def kept(store: Store, folder: Path) -> AsyncIterator[Store]:
    """Before and after: STARTED, and served by the same nodes."""
    await store.until_started(BACK_WITHIN)
    before = {node["host_uuid"] for node in await store.nodes()}
    yield store
    await eventually(lambda: writable(store, folder), BACK_WITHIN, every=1, what="a primary accepts writes")
    await eventually(lambda: started(store), BACK_WITHIN, every=0.5, what="all is well again")
    assert {node["host_uuid"] for node in await store.nodes()} == before


@pytest.fixture(scope="module")
def control(installation: Installed) -> str:
    return str(installation.layout.control)


@pytest.fixture(scope="module")
def nodes(installation: Installed) -> str:
    """The network that nodes have their addresses in, as nftables writes it."""
    place = installation.layout.place
    return f"{place.node(256)}-{place.subnet[-2]}"
