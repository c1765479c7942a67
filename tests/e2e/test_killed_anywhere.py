"""The control plane is killed in the middle of everything: the job ends as if nothing had happened.

Nothing is doubled, nothing is orphaned; and what can't succeed is taken back, with a reason in a user's words.
"""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path

import pytest
from tests.e2e.machine import eventually
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant, select

# The steps of creating one node, in the order in which they begin.
STEPS = (
    "reserve", "firewall", "volume n1g1", "server n1g1", "boot", "certificates", "configure n1g1", "start", "form",
    "users", "names", "open", "started",
)  # fmt: skip
SAMPLE = ("server n1g1", "start")
DELETION_STEPS = ("names", "server n1g1", "volume n1g1", "firewall", "deleted")
HOLDINGS = ["address", "firewall", "server", "volume"]


def marked(steps: tuple[str, ...], sample: tuple[str, ...]) -> list[object]:
    return [step if step in sample else pytest.param(step, marks=pytest.mark.slow) for step in steps]


def new_name() -> str:
    return f"db-{secrets.token_hex(4)}"


async def as_if_nothing_had_happened(store: Store, local: LocalSide, folder: Path) -> None:
    """It serves, by one job, with one of everything; and deleting it leaves nothing."""
    await store.until_started(CREATED_WITHIN)
    jobs = [job for job in await store.jobs() if job["type"] == "JOB_TYPE_DEPLOY_DATASTORE"]
    assert [job["status"] for job in jobs] == ["JOB_STATUS_FINISHED"]
    assert len(await store.nodes()) == 1
    told = await store.connection()
    short_id = told["primary"].split(".")[0]
    assert [resource.split()[0] for resource in await local.of(short_id)] == HOLDINGS
    await local.check_inventory()
    by_name = {**(await store.parameters(folder))[0], "host": told["primary"]}
    assert await local.addresses(told["primary"]) == [by_name["hostaddr"]]
    assert await select(by_name, "select pg_is_in_recovery()") is False
    await store.delete()
    await nothing_left(store, local, short_id)


async def nothing_left(store: Store, local: LocalSide, short_id: str) -> None:
    assert await local.of(short_id) == []
    await local.check_inventory()
    assert await store.kept_secrets() == []


async def ordered(tenant: Tenant) -> Store:
    store = await tenant.order(new_name(), 1)
    await store.allow(str(tenant.installed.layout.host))
    return store


@pytest.mark.parametrize("step", marked(STEPS, SAMPLE))
async def test_a_creation_ends_well_when_the_process_is_killed_in(
    step: str, tenant: Tenant, local: LocalSide, folder: Path
) -> None:
    store = await ordered(tenant)
    await store.reached("create_datastore", step)

    await tenant.installed.kill_serve()

    await as_if_nothing_had_happened(store, local, folder)


async def test_a_creation_ends_well_when_everything_is_killed_and_started_again(
    tenant: Tenant, local: LocalSide, folder: Path
) -> None:
    """The supervisor, and with it the database and NATS, while the node boots."""
    store = await ordered(tenant)
    await store.reached("create_datastore", "boot")

    os.kill(tenant.installed.record().pid, signal.SIGKILL)
    await tenant.installed.up()

    await as_if_nothing_had_happened(store, local, folder)


@pytest.mark.parametrize("step", marked(DELETION_STEPS, ("server n1g1",)))
async def test_a_deletion_in_the_middle_of_creation_ends_well_when_the_process_is_killed_in(
    step: str, tenant: Tenant, local: LocalSide
) -> None:
    store = await tenant.order(name := new_name(), 1)
    await store.reached("create_datastore", "boot")
    await store.call("DELETE", "prov/api/v2/cluster")
    await store.reached("delete_datastore", step)

    await tenant.installed.kill_serve()

    await store.until_deleted()
    await nothing_left(store, local, await store.short_id())
    again = await tenant.order(name, 1)
    await again.delete()
    await nothing_left(again, local, await again.short_id())


async def test_a_deletion_right_after_the_order_is_taken_at_once(tenant: Tenant, local: LocalSide) -> None:
    """While the job does its first steps, in every possible order with it."""
    for _ in range(5):
        store = await tenant.order("fickle", 1)
        await store.delete()
        await nothing_left(store, local, await store.short_id())


async def test_a_node_that_cant_phone_home_fails_the_creation_in_time_with_a_reason_and_frees_the_name(
    tenant: Tenant, local: LocalSide
) -> None:
    await tenant.installed.down()
    await tenant.installed.up("--set", "cloud_init_timeout_minutes=0.25")
    store = await tenant.order(name := new_name(), 1)

    layout = tenant.installed.layout
    # This machine's clients do reach it.
    async with local.dropping(f"ip saddr != {layout.host} ip daddr {layout.control} tcp dport 443"):
        await eventually(lambda: _failed(store), within=60, every=0.3, what="the creation fails")

    status, why = await store.status()
    assert (status, why) == ("DEPLOY_FAILED", "node n1g1 did not report to the control plane within 0.25 minutes")
    job = await store.job("JOB_TYPE_DEPLOY_DATASTORE")
    assert (job["status"], job["state"], job["error"]) == ("JOB_STATUS_ERRORED", "failed", why)
    assert "443" in job["remedy"]
    await nothing_left(store, local, await store.short_id())
    again = await tenant.order(name, 1)
    await again.delete()


async def _failed(store: Store) -> bool:
    """As the API says: the job has ended, what it made is taken back."""
    return bool((await store.job("JOB_TYPE_DEPLOY_DATASTORE"))["status"] == "JOB_STATUS_ERRORED")
