"""What every engine has to prove on real machines. An engine's test module subclasses :class:`EngineConformance`:

    class TestMine(EngineConformance):
        application = MyApplication()

and says in an :class:`Application` how somebody's program speaks to it. Everything else is the public API, DNS and the
local cloud's faults. The tests share one datastore of three nodes and one of one; each leaves its own whole.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.observed import observed
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant, signed_up

from ccx.clouds.local.image import ensure_image

GAP_WITHIN = 30.0
"""Seconds without writes. A quiet machine needs a few; this bound is for one that other tests share."""
ALONE_WITHIN = 60.0
"""The same where the nodes are on their own: a lease has to run out."""
TAKES_EFFECT_WITHIN = 15.0
FOLLOWED_WITHIN = 10.0
"""Seconds after the first writes elsewhere: names follow what the cluster does by itself."""


@dataclass(frozen=True)
class Login:
    """Who connects to which node. ``host`` is the name that its certificate is verified for, at ``address``."""

    host: str
    address: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    ca: str = field(repr=False)


def logins(told: Mapping[str, Any], **changed: Any) -> list[Login]:
    """For each node of the API's answer about connecting."""
    common = {name: told[name] for name in ("port", "user", "password", "database", "ca")} | changed
    return [Login(host=node["host"], address=node["address"], **common) for node in told["nodes"]]


class Refused(Exception):
    """The server, or its certificate, is the reason why a question has no answer."""


class Judge(Protocol):
    """Writes numbered rows all the time to whichever node accepts them, and remembers what was acknowledged."""

    def running(self) -> AbstractAsyncContextManager[None]: ...

    async def stop(self) -> None:
        """May be repeated; ``running`` ends with it too."""

    def acknowledged(self) -> int: ...

    def gap(self) -> float:
        """The longest time between two acknowledgements, in seconds."""

    async def lost(self, primary: Login) -> list[int]:
        """Acknowledged numbers that are not there."""

    def overlaps(self) -> list[Any]:
        """What proves that two nodes accepted writes at one time."""


class Application(Protocol):
    """Somebody's program, which speaks to one vendor's databases."""

    vendor: str
    settings: tuple[str, ...]
    """What an installation is told, so that the vendor is on offer."""
    image: str
    listens: frozenset[int]
    """Every port that a node of it listens on."""
    rows: frozenset[str]
    """Of the contract: what making a cluster of three goes by."""
    units: frozenset[str]
    """The services that connect to others then."""
    server: str
    """The server's program on a node."""
    server_pid: str
    """A shell's command there that prints the number of its process."""
    forbidden: tuple[str, ...]
    """What no user may do who was made for the database ``goods``."""
    forbidden_to_the_first: tuple[str, ...]
    """What not even the datastore's first user may do: with it, it could write where nobody may."""

    async def ask(self, login: Login, statement: str, *, tls: bool = True) -> list[tuple[Any, ...]]:
        """Over verified TLS, in a connection of its own. Raises Refused; OSError where nothing answers."""

    def kept(self, login: Login) -> AbstractAsyncContextManager[Any]:
        """A connection whose ``await ask("select 1")`` shows that it is still the same."""

    async def certificate(self, login: Login) -> bytes:
        """The one that the server shows."""

    async def read_only(self, login: Login) -> bool: ...

    async def read_elsewhere(self, login: Login, database: str, table: str) -> None:
        """Reads a table of another database than the login's. Raises Refused."""

    def judge(self, nodes: list[Login]) -> Judge: ...


class OnAnInstallation:
    """Tests of a class share an installation that offers the application's vendor, and a user of it."""

    application: ClassVar[Application]

    @pytest.fixture(scope="class")
    @classmethod
    async def installation(cls, new_installation: Installed) -> Installed:
        await asyncio.to_thread(ensure_image, cls.application.image)
        changes = ("auto_repair.delay=5", "guard=enforce", *cls.application.settings)
        await new_installation.up(*(word for change in changes for word in ("--set", change)))
        return new_installation

    @pytest.fixture(scope="class")
    @classmethod
    async def user(cls, installation: Installed) -> AsyncIterator[Tenant]:
        async with signed_up(installation) as user:
            yield user

    @pytest.fixture(scope="class")
    @classmethod
    async def side(cls, installation: Installed) -> AsyncIterator[LocalSide]:
        side = LocalSide(installation)
        yield side
        await side.cloud.close()


class EngineConformance(OnAnInstallation):
    topology: ClassVar[str] = ""
    """The vendor's usual one."""

    @pytest.fixture(scope="class")
    @classmethod
    async def closed(cls, user: Tenant) -> Store:
        """Three nodes that nobody may reach yet."""
        began = time.monotonic()
        store = await user.create("shop", 3, None, cls.application.vendor, cls.topology)
        print(f"created in {time.monotonic() - began:.1f} s")
        return store

    @pytest.fixture(scope="class")
    @classmethod
    async def store(cls, closed: Store) -> Store:
        """The same, open to this machine."""
        await closed.allow(str(closed.tenant.installed.layout.host))
        node = logins(await closed.connection())[0]
        await eventually(lambda: cls._answers(node), TAKES_EFFECT_WITHIN, what="the rule takes effect")
        return closed

    @classmethod
    async def _answers(cls, login: Login) -> bool:
        try:
            return bool(await cls.application.ask(login, "select 1"))
        except (Refused, OSError):
            return False

    async def _primary(self, store: Store, **changed: Any) -> Login:
        """Of whichever node is the primary."""
        host = (await store.primary())["hostname"]
        return next(login for login in logins(await store.connection(), **changed) if login.host == host)

    async def test_nobody_is_answered_until_a_source_is_allowed(self, closed: Store) -> None:
        for login in logins(await closed.connection()):
            assert not await self._answers(login), login.host

    async def test_the_names_lead_to_the_primary_and_the_replicas(self, store: Store, side: LocalSide) -> None:
        told = await store.connection()
        primary, replicas = await side.addresses(told["primary"]), await side.addresses(told["replicas"])

        assert (len(primary), len(replicas)) == (1, 2)
        for name, addresses, read_only in ((told["primary"], primary, False), (told["replicas"], replicas, True)):
            for address in addresses:
                by_name = replace(logins(told)[0], host=name, address=address)
                assert await self.application.read_only(by_name) is read_only

    async def test_a_connection_without_tls_a_wrong_name_and_a_wrong_password_are_refused(self, store: Store) -> None:
        login = logins(await store.connection())[0]
        with pytest.raises(Refused):
            await self.application.ask(login, "select 1", tls=False)
        with pytest.raises(Refused):
            await self.application.ask(replace(login, host="somebody.else.example"), "select 1")
        with pytest.raises(Refused):
            await self.application.ask(replace(login, password="wrong"), "select 1")
        assert await self.application.ask(login, "select 1") == [(1,)]

    async def test_one_primary_two_replicas_and_a_synchronous_copy(self, store: Store) -> None:
        nodes = await store.nodes()
        assert sorted(node["role"] for node in nodes) == ["primary", "replica", "replica"]
        assert all(node["host_status"] == "STARTED" for node in nodes)
        assert any(node["synchronous"] for node in nodes)

    async def test_a_node_listens_on_its_service_ports_and_nothing_else(self, store: Store, side: LocalSide) -> None:
        for node in await store.nodes():
            inside = ("nsenter", "-t", str(await side.init_of(node["private_ip"])), "-n")
            sockets = (await run(*inside, "ss", "-Hltun")).stdout.splitlines()
            assert {int(line.split()[4].rpartition(":")[2]) for line in sockets} == self.application.listens, sockets

    async def test_what_making_it_took_is_declared_and_used_and_nothing_else_was_tried(self, store: Store) -> None:
        told = await observed(store.tenant.installed)
        assert [c for c in told["connections"] if c["verdict"] != "declared"] == []
        assert {row for c in told["connections"] for row in c["rows"]} >= self.application.rows
        assert {unit for c in told["connections"] for unit in c["units"]} >= self.application.units

    async def test_a_user_made_by_the_api_may_use_its_database_and_nothing_else(self, store: Store) -> None:
        password = secrets.token_urlsafe(12)
        for name in ("goods", "hidden"):
            await store.call("POST", "userdb/api/v1/database", {"database_name": name})
        new = {"database_username": "clerk", "database_password": password, "database_name": "goods"}
        await store.call("POST", "userdb/api/v1/user", new)
        clerk = {"user": "clerk", "password": password, "database": "goods"}
        login, ask = await self._primary(store, **clerk), self.application.ask

        assert {"goods", "hidden"} <= await self._databases(store)
        assert "clerk" in [user["user_name"] for user in await store.call("GET", "userdb/api/v1/users")]
        await ask(login, "create table things (name varchar(80) primary key)")
        await ask(login, "insert into things values ('tea')")
        first = await self._primary(store)
        await ask(replace(first, database="hidden"), "create table kept (n int)")
        with pytest.raises(Refused):
            await self.application.read_elsewhere(login, "hidden", "kept")
        for statement in self.application.forbidden:
            with pytest.raises(Refused):
                await ask(login, statement)
        for statement in self.application.forbidden_to_the_first:
            with pytest.raises(Refused):
                await ask(first, statement)
        for replica in logins(await store.connection(), **clerk):
            if replica.host != login.host:
                await eventually(lambda replica=replica: self._has_tea(replica), 10, what="the row is on a replica")
                for who in (replica, replace(first, host=replica.host, address=replica.address, database="goods")):
                    with pytest.raises(Refused):
                        await ask(who, "insert into things values ('coffee')")

        await store.call("DELETE", "userdb/api/v1/user", {"database_username": "clerk"})
        assert not await self._answers(login)
        for name in ("goods", "hidden"):
            await store.call("DELETE", "userdb/api/v1/database", {"database_name": name})
        assert not {"goods", "hidden"} & await self._databases(store)

    async def _databases(self, store: Store) -> set[str]:
        return {found["database_name"] for found in await store.call("GET", "userdb/api/v1/databases")}

    async def _has_tea(self, login: Login) -> bool:
        try:
            return await self.application.ask(login, "select name from things") == [("tea",)]
        except Refused:
            return False

    async def test_certificates_are_replaced_under_a_connection_that_goes_on(self, store: Store) -> None:
        before = await self._certificates(store)
        async with self.application.kept(await self._primary(store)) as connection:
            job = (await store.tenant.call("POST", f"prov/api/v2/cluster/{store.uuid}/certificates"))["job_id"]

            async def finished() -> bool:
                state = next(one["status"] for one in await store.jobs() if one["job_id"] == job)
                assert state != "JOB_STATUS_ERRORED"
                return bool(state == "JOB_STATUS_FINISHED")

            await eventually(finished, within=120, every=0.3, what="the rotation ends")
            await connection.ask("select 1")
        after = await self._certificates(store)
        assert len(before) == 3
        assert not [node for node in before if before[node] == after[node]]
        await store.until_started(60)
        assert any(node["synchronous"] for node in await store.nodes())

    async def _certificates(self, store: Store) -> dict[str, bytes]:
        return {login.host: await self.application.certificate(login) for login in logins(await store.connection())}

    @pytest.fixture
    async def judge(self, store: Store) -> AsyncIterator[Judge]:
        """Writes already, to three nodes that are all there."""
        await store.until_started(REPAIRED_WITHIN)
        judge = self.application.judge(logins(await store.connection()))
        async with judge.running():
            await _more(judge, 100, 30)
            yield judge

    async def _judged(self, store: Store, judge: Judge, gap: float) -> None:
        """What must hold after every failover."""
        await judge.stop()
        assert await judge.lost(await self._primary(store)) == []
        assert judge.overlaps() == []
        print(f"gap in writes: {judge.gap():.1f} s; {judge.acknowledged()} acknowledged, none lost")
        assert judge.gap() < gap

    async def _replaced(self, store: Store, side: LocalSide, gone: dict[str, str]) -> None:
        async def without() -> bool:
            return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]

        await eventually(without, REPAIRED_WITHIN, every=0.5, what="the node is replaced")
        await store.until_started(REPAIRED_WITHIN)
        assert sorted(node["role"] for node in await store.nodes()) == ["primary", "replica", "replica"]
        assert (await store.job("JOB_TYPE_REPAIR_NODE"))["status"] == "JOB_STATUS_FINISHED"
        told, primary = await store.connection(), await store.primary()
        assert await side.addresses(told["primary"]) == [primary["private_ip"]]
        await side.check_inventory()

    async def test_the_primarys_machine_dies_no_write_is_lost_and_the_node_is_replaced(
        self, store: Store, judge: Judge, side: LocalSide
    ) -> None:
        gone = await store.primary()
        async with store.watching() as seen:
            await side.cloud.kill(gone["hostname"])
            await _more(judge, 100, 90)
            await self._replaced(store, side, gone)
        assert any(gone["label"] in why for status, why in seen if status in ("DEGRADED", "FAILURE")), seen
        await self._judged(store, judge, GAP_WITHIN)

    async def test_the_primarys_network_is_cut_and_the_machine_lives_on(
        self, store: Store, judge: Judge, side: LocalSide
    ) -> None:
        gone = await store.primary()
        await side.cloud.cut(gone["hostname"])
        await _more(judge, 100, 90)
        await self._replaced(store, side, gone)
        await self._judged(store, judge, GAP_WITHIN)

    async def test_the_primarys_server_ends_for_good_on_a_machine_that_lives_and_the_names_follow(
        self, store: Store, judge: Judge, side: LocalSide
    ) -> None:
        told, gone = await store.connection(), await store.primary()
        inside = ("nsenter", "-t", str(await side.init_of(gone["private_ip"])), "-a", "sh", "-euc")

        async def others() -> list[str]:
            return [a for a in await side.addresses(told["primary"]) if a != gone["private_ip"]]

        await run(*inside, f"chmod 0 {self.application.server}; kill -KILL $({self.application.server_pid})")
        try:
            await _more(judge, 100, 90)
            began = time.monotonic()
            (address,) = await eventually(others, FOLLOWED_WITHIN, what="the name leads to another node")
            print(f"its name followed within {time.monotonic() - began:.1f} s of the hundredth write elsewhere")
            by_name = replace(logins(told)[0], host=told["primary"], address=address)
            assert await self.application.read_only(by_name) is False
        finally:
            await run(*inside, f"chmod 755 {self.application.server}")
        await store.until_started(REPAIRED_WITHIN)
        assert gone["host_uuid"] in [node["host_uuid"] for node in await store.nodes()], "its machine was well"
        await self._judged(store, judge, ALONE_WITHIN)

    async def test_without_a_control_plane_the_nodes_fail_over_alone_and_the_next_start_repairs(
        self, store: Store, judge: Judge, side: LocalSide
    ) -> None:
        installed, gone = side.installed, await store.primary()
        os.kill(installed.record().pid, signal.SIGKILL)

        async def down() -> bool:
            return not await installed.healthy()

        await eventually(down, within=30, what="the control plane is down")
        await side.cloud.kill(gone["hostname"])
        await _more(judge, 100, 120)
        assert not await installed.healthy()
        await installed.up()
        await self._replaced(store, side, gone)
        await self._judged(store, judge, ALONE_WITHIN)

    async def test_deleting_leaves_nothing_on_the_cloud_in_dns_or_in_the_vault(
        self, store: Store, side: LocalSide
    ) -> None:
        told = await store.connection()
        short_id = told["primary"].split(".")[0]
        names = [told["primary"], told["replicas"], *(node["host"] for node in told["nodes"])]
        assert await store.kept_secrets()
        assert len(await side.of(short_id)) == 10  # a firewall; three servers, addresses and volumes

        await store.delete()

        assert await side.of(short_id) == []
        for name in names:
            assert await side.addresses(name) == [], name
        await side.check_inventory()
        assert await store.kept_secrets() == []

    async def test_a_single_node_serves_and_is_deleted_with_all_it_had(self, user: Tenant, side: LocalSide) -> None:
        store = await user.create("alone", 1, vendor=self.application.vendor, topology=self.topology)
        told = await store.connection()
        (login,) = logins(told)
        assert await side.addresses(told["primary"]) == await side.addresses(told["replicas"]) == [login.address]
        by_name = replace(login, host=told["primary"])
        await self.application.ask(by_name, "create table one (n int)")
        await self.application.ask(by_name, "insert into one values (1)")
        await store.delete()
        assert await side.of(told["primary"].split(".")[0]) == []


async def _more(judge: Judge, more: int, within: float) -> None:
    goal = judge.acknowledged() + more
    await eventually(lambda: judge.acknowledged() >= goal, within, what=f"{more} more writes are acknowledged")
