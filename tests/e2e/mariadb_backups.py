"""What backups of MariaDB and MySQL have to do in every topology. A test module subclasses :class:`MariaDbBackups`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from datetime import UTC, datetime
from typing import Any, ClassVar

import pymysql
from tests.e2e.machine import Installed, eventually
from tests.e2e.mariadb_writer import Parameters, parameters, select
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant

from ccx.settings import load
from ccx.storage.opened import open_store

BACKUPS = "backup/api/v1/backups"


async def ask(node: Parameters, statement: str) -> list[tuple[Any, ...]]:
    return await asyncio.to_thread(select, node, statement)


async def nodes_of(store: Store) -> list[Parameters]:
    return parameters(await store.connection())


async def writable(store: Store) -> Parameters:
    """Whichever node accepts writes."""

    async def found() -> Parameters | None:
        for node in await nodes_of(store):
            with contextlib.suppress(pymysql.MySQLError, OSError):
                if await ask(node, "select @@read_only") == [(0,)]:
                    return node
        return None

    node: Parameters = await eventually(found, within=60, every=0.5, what="a node accepts writes")
    return node


async def backed_up(store: Store, kind: str) -> dict[str, Any]:
    """A backup that was made now."""
    before = (await store.call("GET", BACKUPS))["total"]
    await store.call("POST", BACKUPS, {"backup_type": kind})

    async def made() -> bool:
        found = await store.call("GET", BACKUPS)
        job = await store.job("JOB_TYPE_BACKUP")
        assert job["status"] != "JOB_STATUS_ERRORED", job
        return bool(found["total"] > before and job["finished_at"])

    await eventually(made, within=300, what=f"a backup, {kind}")
    newest: dict[str, Any] = (await store.call("GET", BACKUPS))["backups"][0]
    return newest


class MariaDbBackups:
    vendor: ClassVar[str] = "mariadb"
    topology: ClassVar[str]
    tool: ClassVar[str] = "mariadb-backup"
    increments: ClassVar[bool] = True
    """Whether an incremental backup is one, and not a full one by itself."""
    position: ClassVar[str] = "select @@gtid_binlog_pos"
    """Asks up to where the history goes."""
    several: ClassVar[int] = 1
    """How many nodes the datastore has whose backups are restored to a time."""

    async def _create(self, tenant: Tenant, name: str, nodes: int) -> Store:
        return await tenant.create(name, nodes, vendor=self.vendor, topology=self.topology)

    @staticmethod
    def numbers(first: int, last: int) -> str:
        return f"select seq as n from seq_{first}_to_{last}"

    @staticmethod
    def following(position: str) -> str:
        """The next transaction by the same server."""
        domain, server, number = position.split("-")
        return f"{domain}-{server}-{int(number) + 1}"

    @staticmethod
    def goes_on(position: str, before: str) -> bool:
        """Whether a restored one's history goes on from that one."""
        return position.split("-")[0] == before.split("-")[0]

    async def test_a_datastore_comes_back_as_of_a_time_and_as_of_just_before_a_transaction(
        self, tenant: Tenant
    ) -> None:
        store = await self._create(tenant, "shop", self.several)
        node = await writable(store)
        await ask(node, "create table kept (n int primary key)")
        await ask(node, f"insert into kept {self.numbers(1, 1000)}")
        full = await backed_up(store, "full")
        await ask(node, f"insert into kept {self.numbers(1001, 2000)}")
        incremental = await backed_up(store, "incremental")
        assert (full["backup_type"], full["backup_method"], full["rows"]) == ("full", self.tool, 1000)
        wanted = ("incremental", full["backup_id"]) if self.increments else ("full", None)
        assert (incremental["backup_type"], incremental["parent_id"]) == wanted
        assert incremental["verified_at"]
        await self._check_made(store, full, incremental)
        await ask(node, f"insert into kept {self.numbers(2001, 3000)}")
        await asyncio.sleep(2.1)  # a time is known to the second
        moment = datetime.now(UTC)
        await asyncio.sleep(2.1)
        await ask(node, "insert into kept values (3001)")
        [(last,)] = await ask(node, self.position)
        await ask(node, "drop table kept")
        dropped = self.following(str(last))

        timed = await store.restore("as-of-a-time", to=moment, cluster_size=3)
        await timed.until_started(2 * CREATED_WITHIN)
        for copy in await nodes_of(timed):
            assert await ask(copy, "select count(*), max(n) from kept") == [(3000, 3000)]
        assert {one["role"] for one in await timed.nodes()} == {"primary", "replica"}
        await ask(await writable(timed), "insert into kept values (4000)")
        [(position,)] = await ask(await writable(timed), self.position)
        assert self.goes_on(str(position), str(last))

        before = await store.restore("before-the-drop", pitr_stop_lsn=dropped, cluster_size=1)
        await before.until_started(CREATED_WITHIN)
        (copy,) = await nodes_of(before)
        assert await ask(copy, "select count(*), max(n) from kept") == [(3001, 3001)]
        await ask(copy, "insert into kept values (4000)")

    async def _check_made(self, store: Store, full: dict[str, Any], incremental: dict[str, Any]) -> None:
        """Where these backups were made."""
        assert full["node"] == incremental["node"]

    async def test_a_drill_proves_the_newest_backup_and_its_rows(self, tenant: Tenant) -> None:
        store = await self._create(tenant, "proved", 1)
        (node,) = await nodes_of(store)
        await ask(node, "create table kept (n int primary key)")
        await ask(node, f"insert into kept {self.numbers(1, 500)}")
        await backed_up(store, "full")
        await ask(node, "delete from kept where n > 100")
        await tenant.call("POST", f"{BACKUPS}/{store.uuid}/drill")

        async def drilled() -> dict[str, Any] | None:
            found: dict[str, Any] | None = (await store.call("GET", BACKUPS))["backups"][0]["drill"]
            return found

        found = await eventually(drilled, within=CREATED_WITHIN, what="the drill's outcome")
        assert found["proved"], found
        assert (found["tables"], found["rows"]) == (1, 500)

    async def test_what_was_written_last_is_in_the_store_within_a_minute_though_nobody_asks(
        self, tenant: Tenant, installation: Installed
    ) -> None:
        store = await self._create(tenant, "lost", 1)
        (node,) = await nodes_of(store)
        await ask(node, "create table kept (n int primary key)")
        await backed_up(store, "full")
        settings = load(installation.instance, {})
        cloud = settings.cloud("local")
        assert cloud is not None
        objects = open_store(cloud, settings, patience=5)
        log = f"datastores/{await store.short_id()}/archive/"
        try:
            before = {one.key for one in await objects.list(log)}
            await ask(node, "insert into kept values (1)")

            async def stored() -> bool:
                return bool({one.key for one in await objects.list(log)} - before)

            await eventually(stored, within=60, every=0.5, what="the log's newest part in the store")
        finally:
            await objects.close()

    async def test_the_log_goes_on_from_the_next_primary_and_leads_over_the_failover(
        self, tenant: Tenant, local: LocalSide
    ) -> None:
        store = await self._create(tenant, "failed-over", 3)

        async def written(first: int, last: int) -> bool:
            for node in await nodes_of(store):
                with contextlib.suppress(pymysql.MySQLError, OSError):
                    await ask(node, f"insert ignore into kept {self.numbers(first, last)}")
                    return True
            return False

        await ask(await writable(store), "create table kept (n int primary key)")
        full = await backed_up(store, "full")
        primary = await store.primary()
        assert full["node"] not in (None, primary["label"])
        assert await written(1, 1000)
        os.kill(await local.init_of(primary["private_ip"]), signal.SIGKILL)
        await eventually(lambda: written(1001, 2000), within=60, every=0.5, what="a new primary accepts writes")
        copy = await store.restore("leads-over", cluster_size=1)
        await copy.until_started(CREATED_WITHIN)
        (node,) = await nodes_of(copy)
        assert await ask(node, "select count(*), max(n) from kept") == [(2000, 2000)]
        await store.until_started(2 * CREATED_WITHIN)
        assert await written(2001, 2100)
        later = await backed_up(store, "incremental")
        assert later["verified_at"]
