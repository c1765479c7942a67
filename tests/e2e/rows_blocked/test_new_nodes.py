"""What a new node connects to first, blocked: its creation fails as is promised, and leaves nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from tests.e2e.machine import eventually
from tests.e2e.promises import promised
from tests.e2e.rows_blocked.datastore import shows
from tests.e2e.tenant import LocalSide, Store, Tenant

SOON = 30.0


@pytest.mark.slow
async def test_a_node_that_can_not_phone_home_fails_the_creation_names_the_row_and_leaves_nothing(
    tenant: Tenant, local: LocalSide, control: str, nodes: str
) -> None:
    promised("node.control-plane", "creating fails after CLOUD_INIT_TIMEOUT_MINUTES and is undone")
    async with local.dropping(f"ip saddr {nodes} ip daddr {control} tcp dport 443"):
        store = await tenant.order("mute", 1)
        failed: dict[str, Any] = await eventually(lambda: _failed(store), 200, every=1, what="the creation fails")
    assert "node.control-plane" in f"{failed}"
    await _left_nothing(store, local)


@pytest.mark.slow
async def test_a_node_without_dns_fails_the_creation_soon_names_the_row_and_leaves_nothing(
    tenant: Tenant, local: LocalSide, nodes: str
) -> None:
    promised("node.dns-udp", "a new node's job fails, names the resolver and is undone")
    async with local.dropping(f"ip saddr {nodes} udp dport 53", hook="input"):
        store = await tenant.order("deaf", 1)
        failed: dict[str, Any] = await eventually(lambda: _failed(store), 90, every=1, what="the creation fails")
    assert "node.dns-udp" in f"{failed}"
    probing = next(step for step in failed["job"]["steps"] if step["name"].startswith("probe"))
    ended = datetime.fromisoformat(probing["finished_at"] or failed["job"]["finished_at"])
    assert (ended - datetime.fromisoformat(probing["started_at"])).total_seconds() < SOON
    await _left_nothing(store, local)


async def _failed(store: Store) -> dict[str, Any] | None:
    if not await shows(store, "DEPLOY_FAILED"):
        return None
    return {"text": (await store.status())[1], "job": await store.job("JOB_TYPE_DEPLOY_DATASTORE")}


async def _left_nothing(store: Store, local: LocalSide) -> None:
    short_id = await store.short_id()
    assert await local.of(short_id) == []
    assert await store.kept_secrets() == []
    await local.check_inventory()
