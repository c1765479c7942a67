"""MariaDB with replicas under all kinds of faults: no acknowledged write is lost, and one node takes them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.mariadb_faults import (
    BACK_WITHIN,
    BALLAST,
    DATA,
    Faults,
    acknowledges,
    answers,
    ask,
    ballast,
    copies_in_place_of,
    cut,
    inside,
    primary_of,
    replaced,
    replica_of,
    root_asks,
    store_away,
    written_to,
)
from tests.e2e.mariadb_writer import parameters
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant

from ccx.clouds.local.image import ensure_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LEASE_WITHIN = 60.0
"""Seconds without writes where a lease has to run out. A quiet machine needs a dozen."""
BACKUPS = "backup/api/v1/backups"


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> Installed:
    await asyncio.to_thread(ensure_image, "baked-mariadb")
    # What is thawed or healed within half a minute shall come back, and not be replaced.
    await new_installation.up("--set", "auto_repair.delay=30", "--set", "guard=enforce", "--set", "databases=[mariadb]")
    return new_installation


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    made = await tenant.create("shop", 3, vendor="mariadb")
    node = parameters(await made.connection())[0]
    await eventually(lambda: answers(node), 15, what="the rule takes effect")
    return made


class TestFaults(Faults):
    gap_within = LEASE_WITHIN
    frozen_for, away_for = 20, 15  # a lease and more


async def test_a_replica_whose_place_in_the_log_is_gone_is_made_anew(store: Store, local: LocalSide) -> None:
    async with written_to(store) as writer:
        primary, behind = await store.primary(), await replica_of(store)
        async with cut(local, behind):
            await acknowledges(writer, 100, 60)
            await root_asks(local, primary, "flush binary logs")
            await acknowledges(writer, 100, 60)
            purged = "set global slave_connections_needed_for_purge = 0; purge binary logs before now()"
            await eventually(lambda: purges(local, primary, purged), 30, every=1, what="the log's beginning is gone")
        await store.until_started(REPAIRED_WITHIN)
        # As before: by it the server keeps what a replica needs that is just being made.
        await root_asks(local, primary, "set global slave_connections_needed_for_purge = 2")
        journal = await inside(local, behind, "journalctl -u ccx-keeper --no-pager -o cat")
        assert "rebuild: " in journal
    (now,) = [node for node in await store.nodes() if node["host_uuid"] == behind["host_uuid"]]
    assert now["errant"] == behind["errant"], "it had nothing of its own"
    assert writer.gap() < LEASE_WITHIN


async def purges(local: LocalSide, node: dict[str, str], statement: str) -> bool:
    """Whether but the newest file is left of its log."""
    await root_asks(local, node, statement)
    return len((await root_asks(local, node, "show binary logs")).splitlines()) == 1


async def test_what_only_a_replica_has_is_kept_and_shown_and_the_replica_made_anew(
    store: Store, local: LocalSide
) -> None:
    await ask(await primary_of(store), "create table astray (n int)")
    async with written_to(store) as writer:
        replica = await replica_of(store)
        await root_asks(local, replica, "insert into defaultdb.astray values (4711)")
        await acknowledges(writer, 100, 60)

        async def shown() -> list[str]:
            (now,) = [node for node in await store.nodes() if node["label"] == replica["label"]]
            return sorted(set(now["errant"]) - set(replica["errant"]))

        (kept,) = await eventually(shown, 120, every=0.5, what="the node shows what is kept apart")
        await store.until_started(REPAIRED_WITHIN)
    assert "@1=4711" in await inside(local, replica, f"cat {DATA}/errant/{kept}")
    assert await root_asks(local, replica, "select count(*) from defaultdb.astray") == "0"
    assert writer.gap() < LEASE_WITHIN


async def test_the_primary_dies_while_a_new_node_copies_it_is_started_again_and_all_is_whole(
    store: Store, local: LocalSide
) -> None:
    await ballast(store)
    async with written_to(store) as writer:
        gone = await replica_of(store)
        await local.cloud.kill(gone["hostname"])

        await eventually(
            lambda: copies_in_place_of(store, local, gone), REPAIRED_WITHIN, every=0.1, what="the new node copies"
        )
        await local.cloud.kill((await store.primary())["hostname"])
        # Two of three are away: nobody can tell what the primary had, until its machine runs again.
        await acknowledges(writer, 100, REPAIRED_WITHIN)
        await store.until_started(REPAIRED_WITHIN)
    assert gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]


async def ended(store: Store, job_id: str) -> dict[str, Any]:
    """The job, when it has ended, however."""

    async def over() -> dict[str, Any] | None:
        found: dict[str, Any] = await store.tenant.call("GET", f"deployment/v2/jobs/{job_id}")
        return found if found["finished_at"] else None

    done: dict[str, Any] = await eventually(over, 600, every=0.5, what="the job ends")
    return done


async def test_who_makes_a_backup_dies_in_the_middle_of_it_and_another_makes_it(store: Store, local: LocalSide) -> None:
    await ballast(store)
    first = (await store.call("POST", BACKUPS, {"backup_type": "full"}))["job_id"]
    assert (await ended(store, first))["status"] == "JOB_STATUS_FINISHED"
    async with written_to(store) as writer:
        since = datetime.now(UTC)
        second = (await store.call("POST", BACKUPS, {"backup_type": "full"}))["job_id"]
        await store.reached("backup_datastore", "backup", since)
        maker = await eventually(lambda: copying(store, local), 120, every=0.1, what="a node makes the backup")
        async with store_away(local):
            await local.cloud.kill(maker["hostname"])
        done = await ended(store, second)
        assert done["status"] == "JOB_STATUS_FINISHED", done
        await acknowledges(writer, 100, BACK_WITHIN)
        await replaced(store, maker)
    assert (await store.call("GET", BACKUPS))["total"] >= 2


async def copying(store: Store, local: LocalSide) -> dict[str, Any] | None:
    """The node on which mariadb-backup runs."""
    for node in await store.nodes():
        if "mariadb-backup" in await inside(local, node, "cat /proc/[0-9]*/comm 2>/dev/null || true"):
            return node
    return None


async def test_a_restore_whose_machine_dies_in_the_middle_ends_with_that_reason_and_another_one_succeeds(
    store: Store, local: LocalSide
) -> None:
    async with written_to(store):
        lost = await store.restore("lost", cluster_size=1)
        await lost.reached("restore_datastore", "restore")
        (node,) = await lost.nodes()
        await local.cloud.kill(node["hostname"])

        async def failed() -> str | None:
            status, why = await lost.status()
            return why if status == "DEPLOY_FAILED" else None

        why = await eventually(failed, 300, every=0.5, what="the restore fails")
        assert node["label"] in why
        again = await store.restore("again", cluster_size=1)
        await again.until_started(REPAIRED_WITHIN)
        assert await ask(await primary_of(again), "select count(*) from ballast") == [(BALLAST,)]
        await again.delete()
        await lost.delete()
    await ask(await primary_of(store), "drop table ballast")
    await local.check_inventory()
