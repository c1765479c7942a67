"""What every engine has to prove that can be restored in place: under the same names, and the way back stays open.

A test module subclasses :class:`RestoreInPlaceConformance` as :class:`tests.engine_conformance.EngineConformance`, and
says how to find the moment just before something that went wrong.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from tests.e2e.machine import Installed, eventually
from tests.e2e.observed import nothing_undeclared
from tests.e2e.tenant import CREATED_WITHIN, LocalSide, Store, Tenant
from tests.engine_conformance import Login, OnAnInstallation, Refused, logins

from ccx.settings import load
from ccx.storage.opened import open_store
from ccx.storage.s3 import S3

BACKUPS = "backup/api/v1/backups"
LONGEST_PAUSE_S = 3.0
SETTLED_WITHIN = 2 * CREATED_WITHIN
"""Seconds for a restore in place, which makes nodes and copies; a quiet machine needs a tenth."""
_A_TIME_S = 2.1
"""Around a time that is restored to: some engines know it to the second."""


class RestoreInPlaceConformance(OnAnInstallation):
    topology: ClassVar[str] = ""
    """The vendor's usual one unless given."""
    content: ClassVar[str]
    """In the name of each object that holds what was backed up."""

    async def just_before(self, login: Login, change: str) -> dict[str, object]:
        """Makes the change; what a request says that wants the moment before it."""
        raise NotImplementedError

    async def test_a_dropped_table_is_back_under_the_same_name_and_both_ways_stay_open(
        self, user: Tenant, installation: Installed
    ) -> None:
        store = await self._backed_up(user, "in-place")
        first = (await store.call("GET", BACKUPS))["backups"][0]["backup_id"]
        password = secrets.token_urlsafe(12)
        await store.call("POST", "userdb/api/v1/database", {"database_name": "goods"})
        new = {"database_username": "clerk", "database_password": password, "database_name": "goods"}
        await store.call("POST", "userdb/api/v1/user", new)
        before = await self._tenants(store)
        at = await a_time()
        await store.call("DELETE", "userdb/api/v1/user", {"database_username": "clerk"})
        await store.call("DELETE", "userdb/api/v1/database", {"database_name": "goods"})
        await self._ask(store, "drop table kept")

        await order(store, pitr_stop_time=at.isoformat())
        await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
        assert await self._rows(store) == [1, 2]
        assert await self._tenants(store) == before
        clerk = {"user": "clerk", "password": password, "database": "goods"}
        await self.application.ask(await self._primary(store, **clerk), "create table things (n int)")
        await self._ask(store, "insert into kept values (3)")
        of_the_restored = await a_time()

        await user.call("POST", f"{BACKUPS}/{store.uuid}/restore/undo")
        await done(store, "JOB_TYPE_UNDO_RESTORE")
        with pytest.raises(Refused):
            await self._rows(store)
        await self._ask(store, "create table since (n int)")
        with pytest.raises(Refused):
            await self.application.ask(await self._primary(store, **clerk), "select 1")

        await store.until_started(CREATED_WITHIN)  # nodes that were off are told what changed meanwhile
        # What the restored one wrote is in the store, and leads from a backup of before it over to its own log.
        await order(store, pitr_stop_time=of_the_restored.isoformat(), backup_id=first)
        await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
        assert await self._rows(store) == [1, 2, 3]
        await user.call("POST", f"{BACKUPS}/{store.uuid}/restore/undo")
        await done(store, "JOB_TYPE_UNDO_RESTORE")
        assert await self._ask(store, "select count(*) from since") == [(0,)]

    async def test_three_nodes_go_back_to_just_before_a_change_and_again_on_the_new_branch(
        self, user: Tenant, side: LocalSide
    ) -> None:
        store = await self._backed_up(user, "three", nodes=3)
        before, names = {one["hostname"] for one in await store.nodes()}, await names_of(store)
        target = await self.just_before(await self._primary(store), "drop table kept")

        async with store.watching() as seen:
            await order(store, **target)
            await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
        assert await self._rows(store) == [1, 2]
        assert await names_of(store) == names
        assert sorted(one["role"] for one in await store.nodes()) == ["primary", "replica", "replica"]
        assert before.isdisjoint(one["hostname"] for one in await store.nodes())
        assert any("serves until the restored data take over" in why for _, why in seen)
        assert "is kept, turned off, until" in (await store.status())[1]
        assert len(await servers(side, store)) == 6

        await user.call("POST", f"{BACKUPS}/{store.uuid}/restore/confirm")
        await done(store, "JOB_TYPE_CONFIRM_RESTORE")
        assert len(await servers(side, store)) == 3
        assert await store.status() == ("STARTED", "")

        # What the new branch is made of can be gone back on as well, once it has a backup of its own.
        async def backed_up_again() -> bool:
            return bool((await store.call("GET", BACKUPS))["total"] == 2)

        await eventually(backed_up_again, within=120, what="the new branch is backed up")
        primary = await self._primary(store)
        await self.application.ask(primary, "insert into kept values (3)")
        target = await self.just_before(primary, "delete from kept")
        assert await self.application.ask(primary, "select count(*) from kept") == [(0,)]
        await order(store, **target)
        await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
        assert await self._rows(store) == [1, 2, 3]

        await user.call("POST", f"{BACKUPS}/{store.uuid}/restore/undo")
        await done(store, "JOB_TYPE_UNDO_RESTORE")
        await store.until_started(CREATED_WITHIN)
        assert await self._rows(store) == []
        await self._ask(store, "insert into kept values (4)")

    async def test_to_the_latest_and_a_former_branch_goes_when_nothing_that_is_kept_needs_it(
        self, user: Tenant, installation: Installed
    ) -> None:
        store = await self._backed_up(user, "former")
        await order(store)
        await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
        await user.call("POST", f"{BACKUPS}/{store.uuid}/restore/confirm")
        await done(store, "JOB_TYPE_CONFIRM_RESTORE")
        short = await store.short_id()
        assert {f"archive/{short}", f"backup/{short}"} <= await in_store(installation, short)

        policy = f"backup/api/v1/policies/{store.uuid}"
        await user.call("PUT", policy, {"keep_days": 0, "keep_full": 1})
        begun = await store.call("POST", BACKUPS, {"backup_type": "full"})
        await eventually(
            lambda: ended(store, begun["job_id"]), within=CREATED_WITHIN, what="the backup's job has ended"
        )

        assert await in_store(installation, short) == {f"archive/{short}-1", f"backup/{short}-1"}
        assert (await store.call("GET", BACKUPS))["total"] == 1
        await order(store)
        await done(store, "JOB_TYPE_RESTORE_IN_PLACE")
        assert await self._rows(store) == [1, 2]

    async def test_one_that_fails_leaves_what_was_there_serving(
        self, user: Tenant, side: LocalSide, installation: Installed
    ) -> None:
        store = await self._backed_up(user, "unharmed")
        short, nodes = await store.short_id(), [one["host_uuid"] for one in await store.nodes()]
        resources = await side.of(short)
        await tear(installation, short, self.content)

        async def failed() -> bool:
            job = await store.job("JOB_TYPE_RESTORE_IN_PLACE")
            assert job["status"] != "JOB_STATUS_FINISHED"
            return bool(job["status"] == "JOB_STATUS_ERRORED")

        judge = self.application.judge(logins(await store.connection()))
        async with judge.running():
            await order(store)
            await eventually(failed, within=600, what="the restore has failed")
            goal = judge.acknowledged() + 50
            await eventually(lambda: judge.acknowledged() >= goal, within=10, what="50 more writes")
            await judge.stop()

        assert "the restore failed on" in (await store.job("JOB_TYPE_RESTORE_IN_PLACE"))["error"]
        assert judge.gap() < LONGEST_PAUSE_S
        assert await judge.lost(await self._primary(store)) == []
        assert [one["host_uuid"] for one in await store.nodes()] == nodes
        assert await side.of(short) == resources
        assert (await store.status())[0] == "STARTED"

    async def _backed_up(self, user: Tenant, name: str, nodes: int = 1) -> Store:
        """A datastore with a backup, and a row that is in its log only."""
        store = await user.create(name, nodes, vendor=self.application.vendor, topology=self.topology)
        await self._ask(store, "create table kept (n int primary key)")
        await self._ask(store, "insert into kept values (1)")
        await store.call("POST", BACKUPS, {"backup_type": "full"})

        async def listed() -> bool:
            return bool((await store.call("GET", BACKUPS))["total"])

        await eventually(listed, within=120, what="the backup is listed")
        await self._ask(store, "insert into kept values (2)")
        return store

    async def _ask(self, store: Store, statement: str) -> list[tuple[Any, ...]]:
        return await self.application.ask(await self._primary(store), statement)

    async def _primary(self, store: Store, **changed: str) -> Login:
        host = (await store.primary())["hostname"]
        return next(login for login in logins(await store.connection(), **changed) if login.host == host)

    async def _rows(self, store: Store) -> list[int]:
        """Of each node: all have the same."""
        found = [
            [n for (n,) in await self.application.ask(login, "select n from kept order by n")]
            for login in logins(await store.connection())
        ]
        assert [other for other in found if other != found[0]] == []
        return found[0]

    async def _tenants(self, store: Store) -> tuple[list[str], list[str]]:
        """Users and databases, by the API."""
        users = await store.call("GET", "userdb/api/v1/users")
        databases = await store.call("GET", "userdb/api/v1/databases")
        return sorted(u["user_name"] for u in users), sorted(d["database_name"] for d in databases)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    async def _declared(cls, installation: Installed) -> Any:
        """Whatever was done, control plane and nodes connected to nothing but what the network contract declares."""
        yield
        await nothing_undeclared(installation)


async def a_time() -> datetime:
    """One that is after all that was done, and before all that will be."""
    await asyncio.sleep(_A_TIME_S)
    moment = datetime.now(UTC)
    await asyncio.sleep(_A_TIME_S)
    return moment


async def order(store: Store, **target: object) -> None:
    await store.tenant.call("POST", f"{BACKUPS}/{store.uuid}/restore", {"in_place": True, **target})


async def done(store: Store, kind: str) -> None:
    async def ended() -> bool:
        job = await store.job(kind)
        assert job["status"] != "JOB_STATUS_ERRORED", job
        return bool(job["status"] == "JOB_STATUS_FINISHED")

    try:
        await eventually(ended, within=SETTLED_WITHIN, what=f"{kind} has ended")
    except AssertionError as late:
        steps = [(s["name"], s["state"], s["error"]) for s in (await store.job(kind))["steps"] if s["state"] != "done"]
        raise AssertionError(f"{late}; {steps}") from None


async def ended(store: Store, job: str) -> bool:
    found = await store.tenant.call("GET", f"deployment/v2/data-stores/{store.uuid}/jobs/{job}")
    assert found["status"] != "JOB_STATUS_ERRORED", found
    return bool(found["status"] == "JOB_STATUS_FINISHED")


async def names_of(store: Store) -> tuple[str, str]:
    told = await store.connection()
    return told["primary"], told["replicas"]


async def servers(side: LocalSide, store: Store) -> list[str]:
    return [one for one in await side.of(await store.short_id()) if one.startswith("server ")]


async def in_store(installation: Installed, short: str) -> set[str]:
    """The logs and backups that the store has of a datastore: ``archive/…``, ``backup/…``."""
    objects, prefix = store_of(installation), f"datastores/{short}/"
    found = await objects.list(prefix)
    await objects.close()
    return {"/".join(one.key.removeprefix(prefix).split("/")[:2]) for one in found}


async def tear(installation: Installed, short: str, content: str) -> None:
    """The content of its backups is gone from the store, and nobody knows yet."""
    objects = store_of(installation)
    for one in await objects.list(f"datastores/{short}/backup/"):
        if content in one.key:
            await objects.delete(one.key)
    await objects.close()


def store_of(installation: Installed) -> S3:
    settings = load(installation.instance, {})
    cloud = settings.cloud("local")
    assert cloud is not None
    return open_store(cloud, settings, patience=5)
