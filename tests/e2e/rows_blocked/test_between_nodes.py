"""What nodes and applications connect to on nodes, blocked: what happens is what is promised."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.promises import promised
from tests.e2e.rows_blocked.datastore import is_primary, shows, started, writable
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Parameters, Store, refused, select

NOTICED_WITHIN = 40.0
BACK_WITHIN = 120.0


@pytest.mark.slow
async def test_applications_that_are_blocked_reach_nothing_and_nothing_else_changes(
    kept: Store, local: LocalSide, installation: Installed, nodes: str, folder: Path
) -> None:
    promised("postgres.clients", "applications can't reach the datastore", "nothing else changes")
    async with local.dropping(f"ip saddr {installation.layout.host} ip daddr {nodes} tcp dport 5432"):
        for node in await kept.parameters(folder, connect_timeout="2"):
            assert await refused(node), node["host"]
        await asyncio.sleep(NOTICED_WITHIN / 2)
        assert await started(kept)
        assert (await kept.tenant.answer("GET", f"userdb/api/v1/users/{kept.uuid}")).status_code == 200


@pytest.mark.slow
async def test_without_replication_the_datastore_is_degraded_and_writes_wait(
    kept: Store, local: LocalSide, nodes: str, folder: Path
) -> None:
    promised("postgres.peers.replication", "writes wait", "DEGRADED")
    async with local.dropping(f"ip saddr {nodes} ip daddr {nodes} tcp dport 5432"):
        await eventually(lambda: shows(kept, "DEGRADED"), 90, every=0.5, what="it shows as DEGRADED")
        assert await select(await kept.read_write(folder), "select 1") == 1


@pytest.mark.slow
async def test_without_etcd_between_nodes_it_is_read_only_until_there_is_a_majority(
    kept: Store, local: LocalSide, nodes: str, folder: Path
) -> None:
    promised("postgres.peers.etcd", "the primary steps down", "read-only")
    packets = f"ip saddr {nodes} ip daddr {nodes} tcp dport {{ 2379, 2380 }}"

    async def read_only() -> bool:
        return not await writable(kept, folder)

    async with local.dropping(packets):
        await eventually(read_only, 90, every=1, what="the primary steps down")
        for node in await kept.parameters(folder):
            await eventually(lambda node=node: _recovering(node), 60, every=1, what=f"{node['host']} is read-only")


async def _recovering(node: Parameters) -> bool:
    return await is_primary(node) is False


@pytest.mark.slow
async def test_no_replica_is_promoted_that_can_not_ask_the_others_how_far_they_are(
    store: Store, local: LocalSide, nodes: str, folder: Path
) -> None:
    """The lease is ended at once, so a replica would follow in seconds. Instead the lost machine is started again."""
    promised("postgres.peers.patroni", "no replica is promoted while it can't see the others")
    await store.until_started(BACK_WITHIN)
    gone = await store.primary()
    replicas = [node for node in await store.parameters(folder) if node["host"] != gone["hostname"]]
    async with local.dropping(f"ip saddr {nodes} ip daddr {nodes} tcp dport 8008"):
        await local.cloud.kill(gone["hostname"])
        seen: list[bool | None] = []
        for _ in range(20):
            await asyncio.sleep(1)
            seen += await asyncio.gather(*map(is_primary, replicas))
        assert True not in seen
        assert seen.count(False) > len(seen) / 2, "they answer"
    await eventually(lambda: writable(store, folder), BACK_WITHIN, every=1, what="a primary accepts writes")
    await store.until_started(REPAIRED_WITHIN)
