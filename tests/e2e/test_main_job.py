"""A datastore from create to delete, as its owner has it: by the API, by name, over verified TLS."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.e2e.machine import CCX, eventually, run
from tests.e2e.observed import USED, observed
from tests.e2e.tenant import LocalSide, Parameters, Store, Tenant, refused, select

TAKES_EFFECT_WITHIN = 15.0
LISTENED_ON = {22, 2379, 2380, 5432, 8008}


@pytest.fixture(scope="module")
async def closed(tenant: Tenant) -> Store:
    """Three nodes that nobody may reach yet."""
    return await tenant.create("orders", 3, allow=None)


@pytest.fixture(scope="module")
async def store(closed: Store, folder: Path) -> Store:
    """The same, open to this machine."""
    await closed.allow(str(closed.tenant.installed.layout.host))
    first = (await closed.parameters(folder))[0]
    await eventually(lambda: _answers(first), TAKES_EFFECT_WITHIN, what="the rule takes effect")
    return closed


async def _answers(parameters: Parameters) -> bool:
    return not await refused(parameters)


async def test_nobody_is_answered_until_a_source_is_allowed(closed: Store, folder: Path) -> None:
    for node in await closed.parameters(folder, connect_timeout="2"):
        assert await refused(node), node["host"]


async def test_the_primarys_name_leads_to_the_primary_and_the_replicas_name_to_the_replicas(
    store: Store, local: LocalSide, folder: Path
) -> None:
    told = await store.connection()
    common = (await store.parameters(folder))[0]

    primary, replicas = await local.addresses(told["primary"]), await local.addresses(told["replicas"])

    assert len(primary) == 1
    assert len(replicas) == 2
    for name, addresses, recovering in ((told["primary"], primary, False), (told["replicas"], replicas, True)):
        for address in addresses:
            by_name = {**common, "host": name, "hostaddr": address}
            assert await select(by_name, "select pg_is_in_recovery()") is recovering
            assert await select(by_name, "select ssl from pg_stat_ssl where pid = pg_backend_pid()") is True


async def test_a_connection_without_tls_a_wrong_name_and_a_wrong_password_are_refused(
    store: Store, folder: Path
) -> None:
    node = (await store.parameters(folder))[0]

    with pytest.raises(psycopg.OperationalError, match=r"no encryption|no pg_hba\.conf entry"):
        await select({**node, "sslmode": "disable"}, "select 1")
    with pytest.raises(psycopg.OperationalError, match="server certificate for"):
        await select({**node, "host": "somebody.else.example"}, "select 1")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await select({**node, "password": "wrong"}, "select 1")


async def test_one_primary_two_replicas_and_a_synchronous_copy(store: Store, folder: Path) -> None:
    nodes = await store.nodes()

    assert sorted(node["role"] for node in nodes) == ["primary", "replica", "replica"]
    assert all(node["host_status"] == "STARTED" for node in nodes)
    copies = "select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')"
    assert await select(await store.read_write(folder), copies) >= 1


async def test_a_node_listens_on_its_service_ports_and_nothing_else(store: Store, local: LocalSide) -> None:
    """On all interfaces, loopback too."""
    addresses = {node["private_ip"] for node in await store.nodes()}
    spaces = [s for s in (await run("ip", "netns", "list")).stdout.split() if s.startswith(_node_prefix(local))]
    seen = 0
    for space in spaces:
        shown = (await run("ip", "-n", space, "-br", "addr", "show", "host0")).stdout
        if not any(f"{address}/" in shown for address in addresses):
            continue
        seen += 1
        sockets = (await run("ip", "netns", "exec", space, "ss", "-Hltun")).stdout.splitlines()
        heard = {int(line.split()[4].rpartition(":")[2]) for line in sockets}
        assert heard == LISTENED_ON, sockets
    assert seen == 3


def _node_prefix(local: LocalSide) -> str:
    return f"{local.installed.layout.namespace}-cloud."


@pytest.fixture(scope="module")
async def alone(tenant: Tenant) -> Store:
    """Another datastore, of one node."""
    return await tenant.create("alone", 1)


async def test_what_making_it_took_is_declared_and_used_and_nothing_else_was_tried(store: Store) -> None:
    told = await observed(store.tenant.installed)
    sources = {node["hostname"] for node in await store.nodes()}

    assert {c["verdict"] for c in told["connections"]} == {"declared"}
    assert {row for c in told["connections"] for row in c["rows"]} >= USED
    assert {c["source"] for c in told["connections"]} >= {"control-plane", *sources}
    assert told["blind"] == []
    assert {unit for c in told["connections"] for unit in c["units"]} >= {"ccx-etcd.service", "ccx-patroni.service"}
    assert not {row["id"] for row in told["unused"]} & USED


async def test_a_nodes_own_kernel_refuses_what_is_not_declared_and_names_node_and_unit(
    store: Store, local: LocalSide, folder: Path
) -> None:
    installed, node = store.tenant.installed, (await store.nodes())[0]
    somewhere, control = "192.0.2.1", str(installed.layout.control)
    installed.intrusions |= {(somewhere, 80), (control, 9999)}
    reach = [f"timeout 5 bash -c 'exec 3<>/dev/tcp/{host}/{port}'" for host, port in ((somewhere, 80), (control, 9999))]
    command = ("sh", "-c", f"{'; '.join(reach)}; sleep 60")
    inside = ("nsenter", "-t", str(await local.init_of(node["private_ip"])), "-a", "systemd-run", "-q")
    began = time.monotonic()
    await run(*inside, "--unit=intruder", "-p", "User=etcd", *command)

    async def refused_ones() -> set[tuple[str, str, int, tuple[str, ...], str]]:
        told = await observed(installed, f"&node={node['hostname']}")
        found = [c for c in told["connections"] if c["verdict"] == "refused"]
        return {(c["source"], c["address"], c["port"], tuple(c["units"]), c["user"]) for c in found}

    wanted = {(node["hostname"], host, port, ("intruder.service",), "etcd") for host, port in installed.intrusions}
    await eventually(lambda: _is(refused_ones, wanted), within=20, every=0.5, what="the refusals show")
    assert time.monotonic() - began < 10, "refused at once, not after a time-out"
    as_operator = {"XDG_CONFIG_HOME": str(folder)}
    trust = ("--ca-file", installed.ca, "--login", "operator", "--password-file", installed.layout.operator_password)
    await run(CCX, "login", "--url", installed.url, *trust, env=as_operator)
    shown = await run(CCX, "network", "observed", check=False, env=as_operator)
    assert shown.returncode == 1
    assert "intruder.service" in shown.stdout
    assert "2 refused" in shown.stderr


async def _is(found: Callable[[], Awaitable[Any]], wanted: object) -> bool:
    return bool(await found() == wanted)


async def test_another_datastores_node_gets_nothing(store: Store, alone: Store, local: LocalSide) -> None:
    """Its own kernel refuses; and were somebody root there, so would the cloud: neither may it ask, nor be answered."""
    own = (await alone.nodes())[0]["private_ip"]
    victim = (await store.primary())["private_ip"]
    store.tenant.installed.intrusions |= {(victim, port) for port in LISTENED_ON}
    on_node = ("nsenter", "-t", str(await local.init_of(own)), "-a")

    async def try_all() -> None:
        for port in sorted(LISTENED_ON):
            reach = f"exec 3<>/dev/tcp/{victim}/{port}"
            tried = await run(*on_node, "timeout", "1", "bash", "-c", reach, check=False)
            assert tried.returncode != 0, port

    before = await local.cloud.denied()
    await try_all()
    assert await local.cloud.denied() == before
    told = await observed(store.tenant.installed)
    tried = {c["port"]: c["verdict"] for c in told["connections"] if c["address"] == victim and c["rows"] == []}
    assert tried == dict.fromkeys(LISTENED_ON, "refused")
    await run(*on_node, "nft", "insert", "rule", "inet", "ccx_egress", "output", "accept")
    try:
        await try_all()
    finally:
        await run(*on_node, "systemctl", "restart", "ccx-egress.service")
    after = await local.cloud.denied()
    assert sum(after.values()) >= sum(before.values()) + len(LISTENED_ON)


async def test_a_database_and_a_user_made_by_the_api_work(store: Store, folder: Path) -> None:
    password = secrets.token_urlsafe(12)
    await store.call("POST", "userdb/api/v1/database", {"database_name": "shop"})
    await store.call(
        "POST",
        "userdb/api/v1/user",
        {"database_username": "clerk", "database_password": password, "database_name": "shop"},
    )

    assert "shop" in [d["database_name"] for d in await store.call("GET", "userdb/api/v1/databases")]
    assert "clerk" in [u["user_name"] for u in await store.call("GET", "userdb/api/v1/users")]
    clerk = {"user": "clerk", "password": password, "dbname": "shop"}
    writable = await store.read_write(folder, **clerk)
    async with await psycopg.AsyncConnection.connect(autocommit=True, **writable) as connection:
        await connection.execute("create table goods (name text primary key)")
        await connection.execute("insert into goods values ('tea')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("create role intruder superuser")
    primary = (await store.primary())["hostname"]
    replica = next(node for node in await store.parameters(folder, **clerk) if node["host"] != primary)
    await eventually(lambda: _has(replica, "tea"), within=10, what="the row is on a replica too")

    await store.call("DELETE", "userdb/api/v1/user", {"database_username": "clerk"})
    with pytest.raises(psycopg.OperationalError):
        await select(writable, "select 1")
    await store.call("DELETE", "userdb/api/v1/database", {"database_name": "shop"})
    assert "shop" not in [d["database_name"] for d in await store.call("GET", "userdb/api/v1/databases")]


async def _has(node: Parameters, name: str) -> bool:
    try:
        return bool(await select(node, "select max(name) from goods") == name)
    except psycopg.errors.UndefinedTable:
        return False


async def test_a_new_name_and_tags_are_the_users_and_move_nothing(store: Store) -> None:
    before = await store.show()
    change = {"cluster_name": "orders-eu", "tags": ["team-a", "eu"]}
    await store.call("PATCH", "prov/api/v2/cluster", change)

    after = await store.show()

    assert (after["cluster_name"], after["tags"]) == ("orders-eu", ["team-a", "eu"])
    assert after["primary_url"] == before["primary_url"]
    assert "orders-eu" in [s["cluster_name"] for s in (await _list(store.tenant))["data_stores"]]


async def _list(tenant: Tenant) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = await tenant.call("GET", "deployment/v3/data-stores")
    return found


async def test_a_source_that_is_taken_away_is_cut_within_seconds_and_can_come_back(store: Store, folder: Path) -> None:
    host = str(store.tenant.installed.layout.host)
    node = (await store.parameters(folder, connect_timeout="2"))[0]
    connection = await psycopg.AsyncConnection.connect(autocommit=True, **node)
    await connection.execute("select 1")

    await store.disallow(host)

    async def cut() -> bool:
        try:
            async with asyncio.timeout(1):
                await connection.execute("select 1")
        except (TimeoutError, psycopg.OperationalError):
            return True
        return False

    await eventually(cut, TAKES_EFFECT_WITHIN, what="the open connection is cut")
    assert await refused(node)
    await store.allow(host)
    await eventually(lambda: _answers(node), TAKES_EFFECT_WITHIN, what="the source is allowed again")
    await connection.close()


async def test_deleting_leaves_nothing_on_the_cloud_in_dns_or_in_the_vault(store: Store, local: LocalSide) -> None:
    told = await store.connection()
    short_id = told["primary"].split(".")[0]
    names = [told["primary"], told["replicas"], *(node["host"] for node in told["nodes"])]
    assert await store.kept_secrets()
    assert len(await local.of(short_id)) == 10  # a firewall; three servers, addresses and volumes
    for name in names:
        assert await local.addresses(name), name
    await observed(store.tenant.installed)  # the nodes' last word, for the judgement at the end

    await store.delete()

    assert await local.of(short_id) == []
    for name in names:
        assert await local.addresses(name) == [], name
    await local.check_inventory()
    assert (await store.tenant.answer("GET", f"deployment/v2/data-stores/{store.uuid}/connection")).status_code >= 400
    assert store.uuid not in [s["uuid"] for s in (await _list(store.tenant))["data_stores"]]
    assert await store.kept_secrets() == []


async def test_a_single_node_serves_and_is_deleted_with_all_it_had(
    alone: Store, local: LocalSide, folder: Path
) -> None:
    told = await alone.connection()
    node = (await alone.parameters(folder))[0]

    assert await local.addresses(told["primary"]) == await local.addresses(told["replicas"]) == [node["hostaddr"]]
    assert await select({**node, "host": told["primary"]}, "select pg_is_in_recovery()") is False
    assert (await alone.show())["replica_url"] == ""

    await alone.delete()
    assert await local.of(told["primary"].split(".")[0]) == []
    await local.check_inventory()
