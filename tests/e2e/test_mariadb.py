"""A MariaDB datastore from create to delete, as its owner has it: by the API, by name, over verified TLS."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from tests.e2e.machine import CCX, Installed, eventually, run
from tests.e2e.mariadb_writer import Parameters, Watch, Writer, connect, parameters, select
from tests.e2e.observed import observed
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant

from ccx.clouds.local.image import ensure_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GAP_WITHIN = 30.0
"""Seconds without writes. A quiet machine needs a few; this bound is for one that other tests share."""
ALONE_WITHIN = 60.0
INSTALLED_WITHIN = 420.0
TAKES_EFFECT_WITHIN = 15.0
LISTENED_ON = {22, 2379, 2380, 3306, 8008}
USED = {
    "cmon.ssh", "mariadb.keeper", "mariadb.etcd", "node.control-plane", "node.dns-udp", "mariadb.peers.etcd",
    "mariadb.peers.replication",
}  # fmt: skip
ON_OFFER = ("--set", "databases=[postgres, mariadb]")


@pytest.fixture(scope="module")
async def image() -> Path:
    """The image with MariaDB's packages; it is made the first time, which takes a minute or two."""
    return await asyncio.to_thread(ensure_image, "baked-mariadb")


@pytest.fixture(scope="module")
async def installation(new_installation: Installed, image: Path) -> Installed:
    await new_installation.up("--set", "auto_repair.delay=5", "--set", "guard=enforce", *ON_OFFER)
    return new_installation


@pytest.fixture(scope="module")
async def closed(tenant: Tenant) -> Store:
    """Three nodes that nobody may reach yet."""
    began = time.monotonic()
    store = await tenant.create("shop", 3, allow=None, vendor="mariadb")
    print(f"created in {time.monotonic() - began:.1f} s")
    return store


@pytest.fixture(scope="module")
async def store(closed: Store) -> Store:
    """The same, open to this machine."""
    await closed.allow(str(closed.tenant.installed.layout.host))
    node = parameters(await closed.connection())[0]
    await eventually(lambda: answers(node), TAKES_EFFECT_WITHIN, what="the rule takes effect")
    return closed


async def ask(node: Parameters, statement: str) -> list[tuple[Any, ...]]:
    return await asyncio.to_thread(select, node, statement)


async def answers(node: Parameters) -> bool:
    try:
        return bool(await ask(node, "select 1"))
    except (pymysql.MySQLError, OSError):
        return False


async def primary_of(store: Store, **changed: Any) -> Parameters:
    """Of whichever node is the primary."""
    host = (await store.primary())["hostname"]
    return next(node for node in parameters(await store.connection(), **changed) if node["host"] == host)


async def test_it_is_on_offer_with_what_each_count_of_nodes_gives(tenant: Tenant) -> None:
    offered = (await tenant.call("GET", "content/api/v1/deploy-wizard"))["database"]["vendors"]
    mariadb = next(vendor for vendor in offered if vendor["code"] == "mariadb")
    assert (mariadb["versions"], [kind["code"] for kind in mariadb["types"]]) == (["11.8"], ["replication"])
    assert {count: "highly available" in gives for count, gives in mariadb["promises"].items()} == {
        "1": False, "2": False, "3": True,
    }  # fmt: skip


async def test_nobody_is_answered_until_a_source_is_allowed(closed: Store) -> None:
    for node in parameters(await closed.connection()):
        assert not await answers(node), node["host"]


async def test_the_names_lead_to_the_primary_and_the_replicas_over_verified_tls(store: Store, local: LocalSide) -> None:
    told = await store.connection()
    common = parameters(told)[0]

    primary, replicas = await local.addresses(told["primary"]), await local.addresses(told["replicas"])

    assert (len(primary), len(replicas)) == (1, 2)
    for name, addresses, read_only in ((told["primary"], primary, 0), (told["replicas"], replicas, 1)):
        for address in addresses:
            by_name = {**common, "host": name, "address": address}
            assert await ask(by_name, "select @@read_only, @@version like '11.8.%'") == [(read_only, 1)]
            ((_, protocol),) = await ask(by_name, "show session status like 'Ssl_version'")
            assert protocol in ("TLSv1.2", "TLSv1.3")


async def test_a_connection_without_tls_a_wrong_name_and_a_wrong_password_are_refused(store: Store) -> None:
    node = parameters(await store.connection())[0]

    with pytest.raises(pymysql.MySQLError, match=r"secure transport|Access denied"):
        await ask({**node, "ssl": None, "ssl_disabled": True}, "select 1")
    with pytest.raises((pymysql.MySQLError, ssl.SSLError), match=r"match"):
        await ask({**node, "host": "somebody.else.example"}, "select 1")
    with pytest.raises(pymysql.MySQLError, match="Access denied"):
        await ask({**node, "password": "wrong"}, "select 1")


async def test_one_primary_two_replicas_and_a_synchronous_copy(store: Store) -> None:
    nodes = await store.nodes()

    assert sorted(node["role"] for node in nodes) == ["primary", "replica", "replica"]
    assert all(node["host_status"] == "STARTED" for node in nodes)
    assert any(node["synchronous"] for node in nodes)
    ((_, clients),) = await ask(await primary_of(store), "show global status like 'Rpl_semi_sync_master_clients'")
    assert int(clients) == 2


async def test_a_node_listens_on_its_service_ports_and_nothing_else(store: Store, local: LocalSide) -> None:
    for node in await store.nodes():
        inside = ("nsenter", "-t", str(await local.init_of(node["private_ip"])), "-n")
        sockets = (await run(*inside, "ss", "-Hltun")).stdout.splitlines()
        assert {int(line.split()[4].rpartition(":")[2]) for line in sockets} == LISTENED_ON, sockets


async def test_what_making_it_took_is_declared_and_used_and_nothing_else_was_tried(store: Store) -> None:
    told = await observed(store.tenant.installed)

    assert [c for c in told["connections"] if c["verdict"] != "declared"] == []
    assert {row for c in told["connections"] for row in c["rows"]} >= USED
    assert {unit for c in told["connections"] for unit in c["units"]} >= {"ccx-etcd.service", "ccx-keeper.service"}


@pytest.fixture
def client(image: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which ``mariadb`` is the image's own client, whatever this machine has."""
    program, libraries = image / "usr/bin/mariadb", image / "usr/lib/x86_64-linux-gnu"
    wrapper = tmp_path / "mariadb"
    wrapper.write_text(f'#!/bin/sh\nexec {libraries}/ld-linux-x86-64.so.2 --library-path {libraries} {program} "$@"\n')
    wrapper.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


async def test_the_command_line_connects_and_what_url_prints_works_as_pasted(
    store: Store, client: dict[str, str], tmp_path: Path
) -> None:
    installed = store.tenant.installed
    config, password = tmp_path / "config", tmp_path / "password"
    password.write_text(store.tenant.password)
    env = {"XDG_CONFIG_HOME": str(config), **client}
    trust = ("--ca-file", installed.ca, "--login", store.tenant.login, "--password-file", password)
    await run(CCX, "login", "--url", installed.url, *trust, env=env)

    query = ("--batch", "--skip-column-names", "--execute", "select @@read_only, database()")
    for role, read_only in (("primary", 0), ("replica", 1)):
        shown = await run(CCX, "datastore", "connect", "shop", "--role", role, "--", *query, env=env)
        assert shown.stdout.split() == [str(read_only), "defaultdb"]
    pasted = tmp_path / "client.cnf"
    pasted.write_text((await run(CCX, "datastore", "url", "shop", "--format", "keyword", env=env)).stdout)
    shown = await run("mariadb", f"--defaults-file={pasted}", *query, env=env)
    assert shown.stdout.split() == ["0", "defaultdb"]
    url = (await run(CCX, "datastore", "url", "shop", env=env)).stdout
    assert url.startswith("mysql://ccxadmin:")
    strange = [line for line in pasted.read_text().splitlines() if not line.startswith("ssl-ca")]
    pasted.write_text("\n".join([strange[0], f"ssl-ca={installed.ca}", *strange[1:]]))
    refused = await run("mariadb", f"--defaults-file={pasted}", *query, env=env, check=False)
    assert refused.returncode != 0, "a certificate of an unknown CA is refused"


async def test_a_user_made_by_the_api_may_use_its_database_and_nothing_else(store: Store) -> None:
    password = secrets.token_urlsafe(12)
    for name in ("goods", "secrets"):
        await store.call("POST", "userdb/api/v1/database", {"database_name": name})
    new = {"database_username": "clerk", "database_password": password, "database_name": "goods"}
    await store.call("POST", "userdb/api/v1/user", new)

    assert {"goods", "secrets"} <= {d["database_name"] for d in await store.call("GET", "userdb/api/v1/databases")}
    users = {u["user_name"]: u for u in await store.call("GET", "userdb/api/v1/users")}
    assert users["clerk"]["grants"] == "ALL ON goods"
    clerk = {"user": "clerk", "password": password, "database": "goods"}
    writable = await primary_of(store, **clerk)
    await ask(writable, "create table things (name varchar(80) primary key)")
    await ask(writable, "insert into things values ('tea')")
    await ask(await primary_of(store), "create or replace table secrets.kept (n int)")
    for forbidden in (
        "select * from secrets.kept", "set global read_only = off", "create user intruder", "select * from mysql.user",
        "grant all on goods.* to ccxadmin", "shutdown", "set global rpl_semi_sync_master_enabled = off",
    ):  # fmt: skip
        with pytest.raises(pymysql.MySQLError, match=r"denied"):
            await ask(writable, forbidden)
    for forbidden in ("set global read_only = on", "shutdown", "set session sql_log_bin = 0"):
        with pytest.raises(pymysql.MySQLError, match=r"denied"):
            await ask(await primary_of(store), forbidden)
    replica = next(n for n in parameters(await store.connection(), **clerk) if n["host"] != writable["host"])
    await eventually(lambda: has(replica, "tea"), within=10, what="the row is on a replica too")
    with pytest.raises(pymysql.MySQLError, match="read-only"):
        await ask(replica, "insert into things values ('coffee')")
    first = parameters(await store.connection(), database="goods")
    with pytest.raises(pymysql.MySQLError, match="read-only"):
        await ask(next(n for n in first if n["host"] == replica["host"]), "insert into things values ('coffee')")

    await store.call("DELETE", "userdb/api/v1/user", {"database_username": "clerk"})
    with pytest.raises(pymysql.MySQLError):
        await ask(writable, "select 1")
    for name in ("goods", "secrets"):
        await store.call("DELETE", "userdb/api/v1/database", {"database_name": name})
    assert not {"goods", "secrets"} & {d["database_name"] for d in await store.call("GET", "userdb/api/v1/databases")}


async def has(node: Parameters, name: str) -> bool:
    try:
        return await ask(node, "select max(name) from things") == [(name,)]
    except pymysql.MySQLError:
        return False


async def test_backups_are_refused_in_words_as_it_has_none_yet(store: Store) -> None:
    answer = await store.tenant.answer("POST", f"backup/api/v1/backups/{store.uuid}", {})
    assert answer.status_code in (409, 422), answer.text
    assert answer.json()["err"] == "mariadb can't be backed up yet"


async def test_certificates_are_replaced_under_a_connection_that_goes_on(store: Store, local: LocalSide) -> None:
    before = await shown(store, local)
    with connect(await primary_of(store)) as connected, connected.cursor() as cursor:
        job = (await store.tenant.call("POST", f"prov/api/v2/cluster/{store.uuid}/certificates"))["job_id"]

        async def finished() -> bool:
            state = next(one["status"] for one in await store.jobs() if one["job_id"] == job)
            assert state != "JOB_STATUS_ERRORED"
            return bool(state == "JOB_STATUS_FINISHED")

        await eventually(finished, within=120, every=0.3, what="the rotation ends")
        cursor.execute("select 1")
        assert cursor.fetchone() == (1,)
    after = await shown(store, local)
    assert len(before) == 3
    assert not [node for node in before if before[node] == after[node]]
    await store.until_started(60)
    ((_, clients),) = await ask(await primary_of(store), "show global status like 'Rpl_semi_sync_master_clients'")
    assert int(clients) == 2


async def shown(store: Store, local: LocalSide) -> dict[str, bytes]:
    """The certificates that MariaDB shows, by node."""

    def seen(node: Parameters) -> bytes:
        with connect(node) as connection:
            found: bytes = connection._sock.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        return found

    return {node["host"]: await asyncio.to_thread(seen, node) for node in parameters(await store.connection())}


@pytest.fixture
async def writer(store: Store) -> AsyncIterator[tuple[Writer, Watch]]:
    """Writes already, to three nodes that are all there; and somebody looks at who accepts writes."""
    await store.until_started(REPAIRED_WITHIN)
    nodes = parameters(await store.connection())
    writer, watch = Writer(nodes), Watch(nodes)
    await asyncio.to_thread(writer.make_table)
    with watch.running(), writer.running():
        await acknowledges(writer, 100, 30)
        yield writer, watch


async def acknowledges(writer: Writer, more: int, within: float) -> None:
    since = time.monotonic()
    await eventually(lambda: writer.since(since) >= more, within, what=f"{more} more writes are acknowledged")


async def judged(store: Store, writer: Writer, watch: Watch, gap: float) -> None:
    """What must hold after every failover."""
    await asyncio.to_thread(writer.stop)
    assert await asyncio.to_thread(writer.lost, await primary_of(store)) == []
    assert watch.overlapping_primaries() == []
    print(f"gap in writes: {writer.gap():.1f} s; {len(writer.acknowledged)} acknowledged, none lost")
    assert writer.gap() < gap


async def replaced(store: Store, local: LocalSide, gone: dict[str, str]) -> None:
    async def without() -> bool:
        return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]

    await eventually(without, REPAIRED_WITHIN, every=0.5, what="the node is replaced")
    await store.until_started(REPAIRED_WITHIN)
    nodes = await store.nodes()
    assert sorted(node["role"] for node in nodes) == ["primary", "replica", "replica"]
    assert (await store.job("JOB_TYPE_REPAIR_NODE"))["status"] == "JOB_STATUS_FINISHED"
    await local.check_inventory()


async def test_the_primarys_machine_dies_no_write_is_lost_and_the_node_is_replaced(
    store: Store, writer: tuple[Writer, Watch], local: LocalSide
) -> None:
    gone = await store.primary()
    async with store.watching() as seen:
        await local.cloud.kill(gone["hostname"])
        await acknowledges(writer[0], 100, 90)
        await replaced(store, local, gone)
    assert any(gone["label"] in why for status, why in seen if status in ("DEGRADED", "FAILURE")), seen
    names = await local.addresses((await store.connection())["primary"])
    assert names == [(await store.primary())["private_ip"]]
    await judged(store, *writer, GAP_WITHIN)


async def test_the_primarys_network_is_cut_and_the_machine_lives_on(
    store: Store, writer: tuple[Writer, Watch], local: LocalSide
) -> None:
    gone = await store.primary()
    await local.cloud.cut(gone["hostname"])
    await acknowledges(writer[0], 100, 90)
    await replaced(store, local, gone)
    await judged(store, *writer, GAP_WITHIN)


async def test_without_a_control_plane_the_keepers_fail_over_alone_and_the_next_start_repairs(
    store: Store, writer: tuple[Writer, Watch], local: LocalSide
) -> None:
    installed, gone = local.installed, await store.primary()
    os.kill(installed.record().pid, signal.SIGKILL)

    async def down() -> bool:
        return not await installed.healthy()

    await eventually(down, within=30, what="the control plane is down")
    await local.cloud.kill(gone["hostname"])
    await acknowledges(writer[0], 100, 120)
    assert not await installed.healthy()
    await installed.up()
    await replaced(store, local, gone)
    await judged(store, *writer, ALONE_WITHIN)


async def test_deleting_leaves_nothing_on_the_cloud_in_dns_or_in_the_vault(store: Store, local: LocalSide) -> None:
    told = await store.connection()
    short_id = told["primary"].split(".")[0]
    names = [told["primary"], told["replicas"], *(node["host"] for node in told["nodes"])]
    assert await store.kept_secrets()
    assert len(await local.of(short_id)) == 10  # a firewall; three servers, addresses and volumes

    await store.delete()

    assert await local.of(short_id) == []
    for name in names:
        assert await local.addresses(name) == [], name
    await local.check_inventory()
    assert await store.kept_secrets() == []


async def test_a_single_node_serves_and_is_deleted_with_all_it_had(tenant: Tenant, local: LocalSide) -> None:
    store = await tenant.create("alone", 1, vendor="mariadb")
    told = await store.connection()
    (node,) = parameters(told)
    assert await local.addresses(told["primary"]) == await local.addresses(told["replicas"]) == [node["address"]]
    by_name = {**node, "host": told["primary"]}
    await ask(by_name, "create table one (n int)")
    await ask(by_name, "insert into one values (1)")
    await store.delete()
    assert await local.of(told["primary"].split(".")[0]) == []
