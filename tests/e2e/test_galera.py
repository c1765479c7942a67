"""A MariaDB datastore with Galera from create to delete: one member killed, all killed at once, nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pymysql
import pytest
from tests.e2e.machine import Installed, eventually, run
from tests.e2e.mariadb_faults import acknowledges, answers, ask, primary_of, written_to
from tests.e2e.mariadb_writer import connect, parameters
from tests.e2e.observed import observed
from tests.e2e.tenant import REPAIRED_WITHIN, LocalSide, Store, Tenant

from ccx.clouds.local.image import ensure_image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GAP_WITHIN = 15.0
"""Seconds without writes. A quiet machine needs less than four; this bound is for one that other tests share."""
BACK_WITHIN = 180.0
"""Seconds until writes go on after all machines were killed: somebody has to start them again first."""
TAKES_EFFECT_WITHIN = 15.0
LISTENED_ON = {22, 3306, 4567, 8008}
"""4568 and 4444 only while a member is being brought up to date."""
ON_OFFER = (
    "databases=[postgres, {code: mariadb, name: MariaDB, versions: ['11.8'], num_nodes: [1, 2, 3, 4, 5],"
    " types: [{code: galera, name: Galera}, {code: replication, name: Replication}]}]"
)

HAND_OVER = """
import http.client, json, ssl, sys
folder = "/etc/ccx/mysql/"
tls = ssl.create_default_context(cafile=folder + "ca.crt")
tls.load_cert_chain(folder + "node.crt", folder + "node.key")
keeper = http.client.HTTPSConnection(sys.argv[1], 8008, context=tls)
keeper.request("POST", "/hand-over", json.dumps({"to": sys.argv[2]}))
answer = keeper.getresponse()
assert answer.status == 200, answer.read()
"""
"""A planned change, asked for by the node itself: as the control plane asks for it, by the datastore's certificates."""


@pytest.fixture(scope="module")
async def image() -> Path:
    return await asyncio.to_thread(ensure_image, "baked-mariadb")


@pytest.fixture(scope="module")
async def installation(new_installation: Installed, image: Path) -> Installed:
    await new_installation.up("--set", "auto_repair.delay=5", "--set", "guard=enforce", "--set", ON_OFFER)
    return new_installation


@pytest.fixture(scope="module")
async def store(tenant: Tenant) -> Store:
    began = time.monotonic()
    made = await tenant.create("shop", 3, vendor="mariadb", topology="galera")
    print(f"created in {time.monotonic() - began:.1f} s")
    node = parameters(await made.connection())[0]
    await eventually(lambda: answers(node), TAKES_EFFECT_WITHIN, what="the rule takes effect")
    return made


@pytest.mark.parametrize("size", [2, 4])
async def test_an_even_count_is_refused_with_the_reason(tenant: Tenant, size: int) -> None:
    order = {
        "general": {"cluster_name": "even", "cluster_size": size, "db_vendor": "mariadb", "cluster_type": "galera"},
        "cloud": {"cloud_provider": "local", "cloud_region": "local"},
        "instance": {"instance_size": "tiny", "volume_size": 10},
    }
    answer = await tenant.answer("POST", "prov/api/v2/cluster", order)
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert f"can't have {size} nodes" in told["err"]
    assert "highly available" in told["remedy"]


async def test_every_member_is_in_the_group_by_tls_and_one_accepts_writes(store: Store, local: LocalSide) -> None:
    told = await store.connection()
    nodes = parameters(told)

    status = [dict(await ask(node, "show global status like 'wsrep%'")) for node in nodes]
    assert {(one["wsrep_cluster_size"], one["wsrep_local_state_comment"]) for one in status} == {("3", "Synced")}
    assert len({one["wsrep_cluster_state_uuid"] for one in status}) == 1
    for node in nodes:
        ((_, options),) = await ask(node, "show global variables like 'wsrep_provider_options'")
        assert "socket.ssl = YES" in options
    assert sorted([(await ask(node, "select @@read_only"))[0][0] for node in nodes]) == [0, 1, 1]
    primary, replicas = await local.addresses(told["primary"]), await local.addresses(told["replicas"])
    assert (len(primary), len(replicas)) == (1, 2)
    by_name = {**nodes[0], "host": told["primary"], "address": primary[0]}
    assert await ask(by_name, "select @@read_only") == [(0,)]


async def test_members_were_made_by_a_copy_and_not_by_galeras_own_which_takes_longer(
    store: Store, local: LocalSide
) -> None:
    for node in await store.nodes():
        inside = ("nsenter", "-t", str(await local.init_of(node["private_ip"])), "-a")
        journal = (await run(*inside, "journalctl", "-u", "ccx-mariadb", "--no-pager")).stdout
        assert "Waiting for SST streaming" not in journal


async def test_a_node_listens_on_its_service_ports_and_nothing_else(store: Store, local: LocalSide) -> None:
    for node in await store.nodes():
        inside = ("nsenter", "-t", str(await local.init_of(node["private_ip"])), "-n")
        sockets = (await run(*inside, "ss", "-Hltun")).stdout.splitlines()
        assert {int(line.split()[4].rpartition(":")[2]) for line in sockets} == LISTENED_ON, sockets


async def test_a_user_made_by_the_api_may_use_its_database_and_what_it_writes_is_on_all_members(store: Store) -> None:
    await store.call("POST", "userdb/api/v1/database", {"database_name": "goods"})
    new = {"database_username": "clerk", "database_password": "p-of-the-clerk-1", "database_name": "goods"}
    await store.call("POST", "userdb/api/v1/user", new)
    clerk = {"user": "clerk", "password": "p-of-the-clerk-1", "database": "goods"}
    writable = await primary_of(store, **clerk)

    await ask(writable, "create table things (name varchar(80) primary key)")
    await ask(writable, "insert into things values ('tea')")

    for node in parameters(await store.connection(), **clerk):
        # Waits for what was written before, if asked to.
        assert await ask(node, "set statement wsrep_sync_wait = 1 for select name from things") == [("tea",)]
        if node["host"] != writable["host"]:
            with pytest.raises(pymysql.MySQLError, match="read-only"):
                await ask(node, "insert into things values ('coffee')")
    for forbidden in ("set global read_only = off", "set global wsrep_on = off", "select * from mysql.ccx_writer"):
        with pytest.raises(pymysql.MySQLError, match="denied"):
            await ask(writable, forbidden)
    await store.call("DELETE", "userdb/api/v1/user", {"database_username": "clerk"})
    await store.call("DELETE", "userdb/api/v1/database", {"database_name": "goods"})


async def test_reads_elsewhere_show_all_that_was_acknowledged_where_that_is_chosen(store: Store) -> None:
    chosen = "prov/api/v2/cluster/{}/reads"
    writable = await primary_of(store)
    readers = [node for node in parameters(await store.connection()) if node["host"] != writable["host"]]

    async def wait(switch: int) -> bool:
        shown = [await ask(node, "select @@global.wsrep_sync_wait") for node in readers]
        return shown == [[(switch,)]] * len(readers)

    assert await store.tenant.call("GET", chosen.format(store.uuid)) == {"current": False}
    assert await wait(0)
    await store.tenant.call("POST", chosen.format(store.uuid), {"current": True})
    await eventually(lambda: wait(1), TAKES_EFFECT_WITHIN, every=0.2, what="the readers wait")
    assert await store.tenant.call("GET", chosen.format(store.uuid)) == {"current": True}
    assert await ask(writable, "select @@global.wsrep_sync_wait") == [(0,)]

    def stale() -> int:
        missed = 0
        with contextlib.ExitStack() as stack:
            writing, *reading = [stack.enter_context(connect(node).cursor()) for node in (writable, *readers)]
            writing.execute("create table fresh (n int primary key)")
            for n in range(300):
                writing.execute("insert into fresh values (%s)", (n,))
                reader = reading[n % len(reading)]
                reader.execute("select max(n) from fresh")
                missed += reader.fetchone() != (n,)
            writing.execute("drop table fresh")
        return missed

    assert await asyncio.to_thread(stale) == 0
    await store.tenant.call("POST", chosen.format(store.uuid), {"current": False})
    await eventually(lambda: wait(0), TAKES_EFFECT_WITHIN, every=0.2, what="the readers don't wait any more")


async def test_certificates_are_replaced_while_it_is_written_to(store: Store) -> None:
    async with written_to(store) as writer:
        job = (await store.tenant.call("POST", f"prov/api/v2/cluster/{store.uuid}/certificates"))["job_id"]

        async def finished() -> bool:
            state = next(one["status"] for one in await store.jobs() if one["job_id"] == job)
            assert state != "JOB_STATUS_ERRORED"
            return bool(state == "JOB_STATUS_FINISHED")

        await eventually(finished, within=120, every=0.3, what="the rotation ends")
        await acknowledges(writer, 100, 30)


async def test_the_writers_machine_dies_no_write_is_lost_and_the_node_is_replaced(
    store: Store, local: LocalSide
) -> None:
    async with written_to(store) as writer:
        gone = await store.primary()
        await local.cloud.kill(gone["hostname"])
        await acknowledges(writer, 200, REPAIRED_WITHIN)

        async def without() -> bool:
            return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]

        await eventually(without, REPAIRED_WITHIN, every=0.5, what="the node is replaced")
        await store.until_started(REPAIRED_WITHIN)
        await acknowledges(writer, 100, 30)
    assert writer.gap() < GAP_WITHIN
    assert sorted(node["role"] for node in await store.nodes()) == ["primary", "replica", "replica"]
    await local.check_inventory()


async def test_a_writer_that_is_cut_off_and_lives_on_accepts_nothing_and_another_takes_its_place(
    store: Store, local: LocalSide
) -> None:
    async with written_to(store) as writer:
        gone = await store.primary()
        await local.cloud.cut(gone["hostname"])
        await acknowledges(writer, 200, REPAIRED_WITHIN)

        async def without() -> bool:
            return gone["host_uuid"] not in [node["host_uuid"] for node in await store.nodes()]

        await eventually(without, REPAIRED_WITHIN, every=0.5, what="the node is replaced")
        await store.until_started(REPAIRED_WITHIN)
    assert writer.gap() < GAP_WITHIN


async def test_the_one_that_accepts_writes_hands_over_to_another_by_its_keeper(store: Store, local: LocalSide) -> None:
    async with written_to(store) as writer:
        nodes = await store.nodes()
        old = next(node for node in nodes if node["role"] == "primary")
        to = next(node for node in nodes if node["role"] == "replica")
        inside = ("nsenter", "-t", str(await local.init_of(old["private_ip"])), "-a")
        await run(*inside, "python3", "-c", HAND_OVER, old["private_ip"], to["label"])

        host = to["hostname"]
        chosen = next(node for node in parameters(await store.connection()) if node["host"] == host)

        async def opened() -> bool:
            return await ask(chosen, "select @@read_only") == [(0,)]

        await eventually(opened, 30, every=0.2, what=f"{to['label']} accepts writes")
        await acknowledges(writer, 100, 30)

        async def named() -> bool:
            return bool((await store.primary())["label"] == to["label"])

        # Nothing was wrong, so nobody hurries to look.
        await eventually(named, 90, every=0.5, what="the control plane sees it, and moves the name")
    assert writer.gap() < GAP_WITHIN


async def test_all_machines_die_at_once_and_it_comes_back_by_itself_with_every_write(
    store: Store, local: LocalSide
) -> None:
    async with written_to(store) as writer:
        before = {node["host_uuid"] for node in await store.nodes()}
        await asyncio.gather(*(local.cloud.kill(node["hostname"]) for node in await store.nodes()))
        await acknowledges(writer, 100, BACK_WITHIN)
        await store.until_started(REPAIRED_WITHIN)
    assert {node["host_uuid"] for node in await store.nodes()} == before, "none was replaced: each may have had writes"


async def test_what_it_took_is_declared_and_used_and_nothing_else_was_tried(store: Store) -> None:
    told = await observed(store.tenant.installed)
    assert [c for c in told["connections"] if c["verdict"] != "declared"] == []
    assert {row for c in told["connections"] for row in c["rows"]} >= {
        "cmon.ssh", "mariadb.keeper", "mariadb.peers.keeper", "galera.peers",
    }  # fmt: skip


async def test_it_is_deleted_with_nothing_left(store: Store, local: LocalSide) -> None:
    short_id = await store.short_id()
    await store.delete()
    assert await local.of(short_id) == []
    assert await store.kept_secrets() == []
    await local.check_inventory()
