"""What a node may connect to, and what it was seen to, is kept over its reboot and over a peer's replacement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.observed import nothing_undeclared, observed
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant

from ccx.clouds.base import ResourceKind
from ccx.network import PEERS
from ccx.network.observer import named
from ccx.network.render.nftables import TABLE

pytestmark = pytest.mark.slow

SOMEWHERE = ("192.0.2.1", 80)
REBOOTS_WITHIN = 90.0


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    """As elsewhere, but that a node has the time to boot before it is replaced."""
    await new_installation.up("--set", "auto_repair.delay=30")
    yield new_installation
    await nothing_undeclared(new_installation)


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    return await tenant.create("orders", 3)


async def on(local: LocalSide, node: dict[str, Any], *argv: str, check: bool = True) -> str:
    """Runs a program on the node, as root; returns what it printed."""
    inside = ("nsenter", "-t", str(await local.init_of(node["private_ip"])), "-a")
    return (await run(*inside, *argv, check=check)).stdout


async def may_reach(local: LocalSide, node: dict[str, Any], addresses: Iterable[str]) -> set[str]:
    """Those of the addresses that the node's kernel takes for its peers."""
    try:
        listed = await on(local, node, "nft", "-j", "list", "table", "inet", TABLE)
    except AssertionError:  # it boots
        return set()
    is_peer = named(listed, [str(PEERS)])
    return {address for address in addresses if is_peer(address)}


async def reboot(local: LocalSide, node: dict[str, Any]) -> None:
    """As its cloud does it: off and on."""
    place, generation = node["label"][1:].split("g")
    _, short_id, *_ = node["hostname"].split(".")
    end = f"{short_id}-n{place}-{generation}"
    [server] = [r for r in await local.resources() if r.kind is ResourceKind.SERVER and r.name.endswith(end)]
    [(claim,)] = await local.installed.query("select nextval('jobs.token')")
    tags = replace(server.tags, token=claim)
    await local.cloud.power_off(server.name, tags)
    await local.cloud.power_on(server.name, tags)


async def intrude(local: LocalSide, installed: Installed, node: dict[str, Any]) -> None:
    """Tries to reach what nobody may."""
    installed.intrusions.add(SOMEWHERE)
    host, port = SOMEWHERE
    reach = ("timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}")
    await on(local, node, "systemd-run", "-q", "--wait", "--unit=intruder", *reach, check=False)


async def refusals(installed: Installed, node: dict[str, Any]) -> int:
    told = await observed(installed, f"&node={node['hostname']}")
    return sum(c["count"] for c in told["connections"] if (c["address"], c["port"]) == SOMEWHERE)


async def test_a_reboot_changes_nothing(store: Store, local: LocalSide, installation: Installed) -> None:
    node = next(n for n in await store.nodes() if n["role"] == "replica")
    everybody = {n["private_ip"] for n in await store.nodes()}
    others = everybody - {node["private_ip"]}
    assert await may_reach(local, node, everybody) == others
    await intrude(local, installation, node)
    tried = time.monotonic()
    assert await refusals(installation, node) == 1
    # The machine's network namespace outlives its reboot here, and a real one's does not.
    for table in ("ccx_egress", "ccx_observed"):
        await on(local, node, "nft", "delete", "table", "inet", table)
    await reboot(local, node)

    async def loaded() -> bool:
        return await may_reach(local, node, everybody) == others

    await eventually(loaded, REBOOTS_WITHIN, every=0.5, what="it has booted with its rules")
    assert not [job for job in await store.jobs() if job["type"] == "JOB_TYPE_APPLY_EGRESS"], "by itself"
    await store.until_started(REBOOTS_WITHIN)
    assert node["host_uuid"] in {n["host_uuid"] for n in await store.nodes()}
    # A reboot in less time than a reading may take would not be told from one attempt.
    await asyncio.sleep(max(0.0, tried + 25 - time.monotonic()))
    await intrude(local, installation, node)
    assert await refusals(installation, node) == 2


async def test_those_who_stay_may_reach_the_new_peer_and_no_longer_the_old_one(store: Store, local: LocalSide) -> None:
    gone = next(n for n in await store.nodes() if n["role"] == "replica")
    await local.cloud.kill(gone["hostname"])

    async def replaced() -> bool:
        return gone["host_uuid"] not in {n["host_uuid"] for n in await store.nodes()}

    await eventually(replaced, REPAIRED_WITHIN, every=0.5, what="the node is replaced")
    await store.until_started(REPAIRED_WITHIN)
    addresses = {n["private_ip"] for n in await store.nodes()}
    assert len(addresses) == 3
    for node in await store.nodes():
        peers = await may_reach(local, node, {*addresses, gone["private_ip"]})
        assert peers == addresses - {node["private_ip"]}, node["hostname"]
