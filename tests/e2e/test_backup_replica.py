"""Backups of three nodes: on a replica, which the primary serves meanwhile; on the primary where that can't be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.promises import promised
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant, execute, select

BACKUPS = "backup/api/v1/backups"
BACKED_UP_WITHIN = 300.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
async def store(tenant: Tenant, folder: Path) -> Store:
    made = await tenant.create("copies", 3)
    rows = "select g as id, md5(g::text) as text from generate_series(1, 100000) g"
    await execute(await made.read_write(folder), f"create table kept as {rows}")
    return made


async def back_up(store: Store, kind: str) -> dict[str, Any]:
    job = (await store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"]

    async def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
        return found if found["finished_at"] else None

    done = await eventually(ended, BACKED_UP_WITHIN, every=0.5, what="the backup ends")
    assert done["state"] == "done", done
    newest: dict[str, Any] = (await store.call("GET", BACKUPS))["backups"][0]
    return newest


async def label_of(store: Store, role: str) -> set[str]:
    """The first part of each node's name."""
    return {node["hostname"].split(".")[0] for node in await store.nodes() if node["role"] == role}


async def test_it_is_made_on_a_replica_and_can_be_restored(store: Store, folder: Path) -> None:
    full = await back_up(store, "full")
    assert full["node"] in await label_of(store, "replica")
    assert full["verified_at"], "it was read back"
    await execute(await store.read_write(folder), "insert into kept values (0, 'later')")
    more = await back_up(store, "incremental")
    assert (more["parent_id"], more["status"]) == (full["backup_id"], "completed")
    assert more["node"] in await label_of(store, "replica")

    restored = await store.restore("from-a-replica", cluster_size=1)
    await restored.until_started(CREATED_WITHIN)
    theirs = (await restored.parameters(folder))[0]
    assert await select(theirs, "select count(*) from kept") == 100_001
    await restored.delete()


async def test_the_primary_serves_a_replica_only_while_that_makes_a_backup(store: Store, local: LocalSide) -> None:
    for node in (await store.connection())["nodes"]:
        init = str(await local.init_of(node["address"]))
        listening = (await run("nsenter", "-t", init, "-n", "ss", "-Hltn", "sport", "=", ":8432")).stdout
        assert listening == "", node["host"]


async def test_without_a_way_between_the_nodes_it_is_made_on_the_primary(
    store: Store, local: LocalSide, installation: Installed
) -> None:
    promised("postgres.peers.backup", "made on the primary")
    place = installation.layout.place
    nodes = f"{place.node(256)}-{place.subnet[-2]}"
    async with local.dropping(f"ip saddr {nodes} ip daddr {nodes} tcp dport 8432"):
        made = await back_up(store, "incremental")
    assert made["status"] == "completed"
    assert {made["node"]} == await label_of(store, "primary")
