"""MariaDB with Galera under all kinds of faults: no acknowledged write is lost, one node takes them, people decide."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.machine import CCX, Installed, eventually, run
from tests.e2e.mariadb_faults import (
    BACK_WITHIN,
    DATA,
    Faults,
    Node,
    acknowledges,
    answers,
    ask,
    ballast,
    copies_in_place_of,
    cut,
    inside,
    is_said,
    primary_of,
    replica_of,
    written_to,
)
from tests.e2e.mariadb_writer import Parameters, parameters
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant

from ccx.clouds.local.image import ensure_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GAP_WITHIN = 30.0
"""Seconds without writes. A quiet machine needs four."""


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> Installed:
    await asyncio.to_thread(ensure_image, "baked-mariadb")
    # What is thawed or healed within half a minute shall come back, and not be replaced.
    await new_installation.up("--set", "auto_repair.delay=30", "--set", "guard=enforce", "--set", "databases=[mariadb]")
    return new_installation


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    made = await tenant.create("shop", 3, vendor="mariadb", topology="galera")
    node = parameters(await made.connection())[0]
    await eventually(lambda: answers(node), 15, what="the rule takes effect")
    return made


class TestFaults(Faults):
    gap_within = GAP_WITHIN
    frozen_for, away_for = 15, 10  # longer than a member may be silent


async def test_a_member_that_was_away_gets_what_it_missed_though_who_gives_it_dies(
    store: Store, local: LocalSide
) -> None:
    async with written_to(store) as writer:
        replicas = [node for node in await store.nodes() if node["role"] == "replica"]
        async with cut(local, replicas[0]):
            await acknowledges(writer, 300, 25)
        # Healed, it joins again and is sent what it missed by one of the others. Before, two of three would be lost.
        await eventually(lambda: whole(store), 60, every=0.1, what="it is in the group")
        await local.cloud.kill(replicas[1]["hostname"])
        await acknowledges(writer, 100, BACK_WITHIN)
        await store.until_started(REPAIRED_WITHIN)
    for node in parameters(await store.connection()):
        assert await asyncio.to_thread(writer.lost, node) == []


async def whole(store: Store) -> bool:
    """Whether all three are in the group, up to date or not."""
    ((_, size),) = await ask(await primary_of(store), "show global status like 'wsrep_cluster_size'")
    return bool(size == "3")


async def test_who_gives_a_new_member_its_copy_dies_in_the_middle_of_it(store: Store, local: LocalSide) -> None:
    await ballast(store)
    async with written_to(store) as writer:
        gone = await replica_of(store)
        donor = next(n for n in await store.nodes() if n["role"] == "replica" and n["label"] != gone["label"])
        await local.cloud.kill(gone["hostname"])

        await eventually(
            lambda: copies_in_place_of(store, local, gone), REPAIRED_WITHIN, every=0.1, what="the new member copies"
        )
        await local.cloud.kill(donor["hostname"])
        await acknowledges(writer, 100, BACK_WITHIN)
        await store.until_started(REPAIRED_WITHIN)
    assert sorted(node["role"] for node in await store.nodes()) == ["primary", "replica", "replica"]


async def test_who_gives_a_member_galeras_own_copy_dies_in_the_middle_of_it(store: Store, local: LocalSide) -> None:
    await ballast(store)
    async with written_to(store) as writer:
        wanting, donor = [node for node in await store.nodes() if node["role"] == "replica"]
        members = ",".join(node["private_ip"] for node in await store.nodes())
        # By hand, around what makes copies of ours: without data it has to ask the group, and this very member.
        server = f"/usr/sbin/mariadbd --defaults-file=/etc/ccx/mysql/my.cnf --wsrep-cluster-address=gcomm://{members}"
        drop_in = "/run/systemd/system/ccx-mariadb.service.d"
        await inside(
            local, wanting,
            f"systemctl stop ccx-mariadb; rm -rf {DATA}/data; install -d -m 700 -o mysql -g mysql {DATA}/data;"
            f" mkdir -p {drop_in}; printf '[Service]\\nExecStart=\\nExecStart={server}"
            f" --wsrep-sst-donor={donor['label']}\\n' > {drop_in}/sst.conf; systemctl daemon-reload;"
            " systemctl --no-block start ccx-mariadb",
        )  # fmt: skip

        async def gives() -> bool:
            state = await ask(parameter_of(await store.connection(), donor), _STATE)
            there = await inside(local, wanting, f"ls -A {DATA}/data | grep -c . || true")
            return state[0][1] == "Donor/Desynced" and int(there) > 3

        await eventually(gives, 120, every=0.1, what="Galera's own copy is under way")
        await local.cloud.kill(donor["hostname"])
        await inside(local, wanting, f"rm {drop_in}/sst.conf; systemctl daemon-reload")
        await acknowledges(writer, 100, BACK_WITHIN)
        await store.until_started(REPAIRED_WITHIN)
    assert writer.gap() < BACK_WITHIN


_STATE = "show global status like 'wsrep_local_state_comment'"


def parameter_of(told: dict[str, Any], node: Node) -> Parameters:
    return next(one for one in parameters(told) if one["host"] == node["hostname"])


async def serves(store: Store) -> bool:
    return (await store.status())[0] in ("STARTED", "DEGRADED")


async def commands(store: Store, folder: Path) -> Callable[..., Awaitable[subprocess.CompletedProcess[str]]]:
    """The ``ccx`` command, its user logged in."""
    installed, tenant, password = store.tenant.installed, store.tenant, folder / "password"
    password.write_text(tenant.password)
    command = partial(run, CCX, env={"XDG_CONFIG_HOME": str(folder)})
    trust = ("--ca-file", installed.ca, "--login", tenant.login, "--password-file", password)
    await command("login", "--url", installed.url, *trust)
    return command


async def lost(store: Store, local: LocalSide) -> tuple[Node, list[Node]]:
    """All die at once; who took the writes, with all it has, for good. It, and the others, whose machines run again."""
    nodes = await store.nodes()
    writer = next(node for node in nodes if node["role"] == "primary")
    others = [node for node in nodes if node is not writer]
    await asyncio.gather(*(local.cloud.kill(node["hostname"]) for node in nodes))
    return writer, others


async def test_when_one_of_all_does_not_come_back_a_person_decides_by_the_evidence(
    store: Store, local: LocalSide, tenant: Tenant, tmp_path: Path
) -> None:
    path = f"prov/api/v2/cluster/{store.uuid}/bootstrap"
    anybody = (await store.primary())["label"]
    refused = await tenant.answer("POST", path, {"node": anybody, "confirm": "shop"})
    assert (refused.status_code, "there is nothing to decide" in refused.json()["err"]) == (409, True), refused.text

    node = await primary_of(store)
    await ask(node, "create or replace table decided (n int primary key)")
    await ask(node, "insert into decided values (1), (2), (3)")
    gone, others = await lost(store, local)
    # Its machine is started again by the control plane, and nobody ever hears of it.
    await local.cloud.cut(gone["hostname"])
    try:
        await is_said(store, f"no word of {gone['label']}", within=BACK_WITHIN)

        ccx = await commands(store, tmp_path)
        shown = (await ccx("datastore", "bootstrap", "shop")).stdout
        for other in others:
            assert other["label"] in shown
        evidence = {one["node"]: one for one in await tenant.call("GET", path)}
        assert evidence[gone["label"]]["answers"] is False
        most = max(others, key=lambda one: evidence[one["label"]]["position"])["label"]
        assert sorted(evidence[most]["last_group"]) == sorted(one["label"] for one in (gone, *others))

        unconfirmed = await tenant.answer("POST", path, {"node": most})
        assert (unconfirmed.status_code, unconfirmed.json()["field"]) == (422, "confirm")
        assert f"{gone['label']} does not answer" in unconfirmed.json()["err"]
        silent = await tenant.answer("POST", path, {"node": gone["label"], "confirm": "shop"})
        assert (silent.status_code, "does not answer" in silent.json()["err"]) == (409, True), silent.text
        asked = await ccx("datastore", "bootstrap", "shop", "--node", most, check=False)
        assert asked.returncode == 2, asked.stderr
        assert "--confirm shop" in asked.stderr

        await ccx("datastore", "bootstrap", "shop", "--node", most, "--confirm", "shop")
        await eventually(lambda: serves(store), BACK_WITHIN, every=0.5, what="the group goes on")
        assert await ask(await primary_of(store), "select count(*) from decided") == [(3,)]
        await ask(await primary_of(store), "insert into decided values (4)")
    finally:
        await local.cloud.heal(gone["hostname"])
    await store.until_started(REPAIRED_WITHIN)
    for node in parameters(await store.connection()):
        assert await ask(node, "set statement wsrep_sync_wait = 1 for select count(*) from decided") == [(4,)]
    async with written_to(store):
        pass
