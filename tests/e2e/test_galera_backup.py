"""Backups of MariaDB with Galera: what all topologies have to do, and that the group never waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.mariadb_backups import MariaDbBackups, ask, backed_up, nodes_of, writable
from tests.e2e.observed import nothing_undeclared
from tests.e2e.tenant import LocalSide, Store, Tenant

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ON_OFFER = (
    "databases=[{code: mariadb, name: MariaDB, versions: ['11.8'], num_nodes: [1, 3, 5],"
    " types: [{code: galera, name: Galera}]}]"
)
COPYING = """
import os, sys
sys.path.insert(0, "/usr/lib/ccx-agent")
from pathlib import Path
from ccx_agent.galera_apart import apart
with apart("/run/ccx-mariadb/mysqld.sock", Path("/run/ccx-mariadb/apart.lock")):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""
"""Who copies a member's data, as the node's own program does, for as long as we like."""


@pytest.fixture(scope="module")
async def installation(new_installation: Installed) -> AsyncIterator[Installed]:
    await new_installation.up("--set", "auto_repair.delay=5", "--set", "guard=enforce", "--set", ON_OFFER)
    yield new_installation
    await nothing_undeclared(new_installation)


class TestGaleraBackups(MariaDbBackups):
    topology = "galera"
    several = 3

    async def _check_made(self, store: Store, full: dict[str, Any], incremental: dict[str, Any]) -> None:
        writer = (await store.primary())["label"]
        assert full["node"] == incremental["node"] != writer
        assert {await _desync(node) for node in await nodes_of(store)} == {"OFF"}

    async def test_who_copies_a_member_is_killed_and_the_group_has_it_back(
        self, tenant: Tenant, local: LocalSide
    ) -> None:
        store = await tenant.create("apart", 3, vendor="mariadb", topology="galera")
        writer = await writable(store)
        await ask(writer, "create table kept (n int primary key)")
        member = next(node for node in await store.nodes() if node["role"] == "replica")
        node = next(one for one in await nodes_of(store) if one["host"] == member["hostname"])
        inside = ("nsenter", "-t", str(await local.init_of(member["private_ip"])), "-a")
        program = ("setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups", "python3", "-I", "-c", COPYING)
        copying = await asyncio.create_subprocess_exec(
            *inside, *program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert copying.stdout is not None
        process = int(await copying.stdout.readline())
        assert await _desync(node) == "ON"
        await ask(writer, "insert into kept select seq from seq_1_to_1000")
        await asyncio.sleep(1.5)  # several turns of its keeper
        assert await _desync(node) == "ON", "the keeper leaves it while somebody copies"
        assert (await store.status())[0] == "STARTED"
        await run(*inside, "kill", "-KILL", str(process))
        await copying.wait()

        async def back() -> bool:
            return await _desync(node) == "OFF" and await ask(node, "select count(*) from kept") == [(1000,)]

        await eventually(back, within=15, every=0.1, what="the group waits for it again")
        assert (await backed_up(store, "full"))["node"] != (await store.primary())["label"]


async def _desync(node: dict[str, Any]) -> str:
    [(_, switch)] = await ask(node, "show global variables like 'wsrep_desync'")
    return str(switch)
