"""PostgreSQL on three real machines: formed, used, broken and made whole again, by the engine alone."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from tests.e2e.postgres_bench import Bench, bench

from ccx.cmon.etcd.layout import ETCD_UNIT
from ccx.cmon.node_channel import NodeRefused
from ccx.cmon.spec import Role
from ccx.cmon.tls import client_context
from ccx.demo.writer import Writer
from ccx.errors import Invalid

TABLE = "numbered"


@pytest.fixture(scope="module")
async def formed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Three nodes, booted, configured and whole. Every test leaves it whole."""
    async with bench(f"eng{os.getpid()}", tmp_path_factory.mktemp("bench")) as made:
        await made.boot("n1g1", "n2g1", "n3g1")
        cluster, started = made.cluster(), time.monotonic()
        for node in cluster.nodes:
            await made.engine.configure(made.channel, cluster, node.label, made.token)
        made.stages["configured"] = time.monotonic() - started
        await made.engine.start(made.channel, cluster, made.token)
        made.stages["services run"] = time.monotonic() - started
        await made.whole()
        made.stages["synchronous"] = time.monotonic() - started
        await made.engine.finish(made.channel, cluster, made.token)
        made.stages["user and database"] = time.monotonic() - started
        made.print_stages()
        yield made
        made.print_stages()


async def test_a_new_cluster_has_one_primary_and_replicas_of_which_one_at_least_is_synchronous(formed: Bench) -> None:
    view = await formed.whole()
    assert view.primary is not None
    assert len(view.replicas) == 2
    assert any(m.synchronous for m in view.replicas)
    assert view.unreachable == ()


async def test_repeating_what_was_done_changes_nothing(formed: Bench) -> None:
    before, cluster = await formed.whole(), formed.cluster()
    for node in cluster.nodes:
        await formed.engine.configure(formed.channel, cluster, node.label, formed.token)
    await formed.engine.start(formed.channel, cluster, formed.token)
    await formed.engine.finish(formed.channel, cluster, formed.token)
    after = await formed.whole()
    assert [(m.label, m.role, m.timeline) for m in after.members] == [
        (m.label, m.role, m.timeline) for m in before.members
    ]


async def test_applications_connect_with_verify_full_and_replicas_are_read_only(formed: Bench) -> None:
    view = await formed.whole()
    assert view.primary is not None
    async with await formed.connect(view.primary.label) as connection:
        await connection.execute("create table if not exists seen (n int)")
        await connection.execute("insert into seen values (1)")
        found = await connection.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
        assert await found.fetchone() == (True,)
    for replica in view.replicas:
        async with await formed.connect(replica.label, name="ro.enginetst.db.test") as connection:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await connection.execute("insert into seen values (2)")
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        await formed.connect(view.primary.label, name="elsewhere.db.test")
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        await formed.connect(view.primary.label, sslmode="disable", sslrootcert=None)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await formed.connect(view.primary.label, password="wrong")


@pytest.mark.parametrize("user", ["postgres", "ccx_replication", "ccx_rewind"])
async def test_our_own_users_can_not_log_in_from_outside(formed: Bench, user: str) -> None:
    secret = {"postgres": "superuser", "ccx_replication": "replication", "ccx_rewind": "rewind"}[user]
    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        await formed.connect("n1g1", user=user, password=formed.passwords[secret], dbname="postgres")


@pytest.mark.parametrize("path", ["8008/patroni", "2379/version"])
async def test_patroni_and_etcd_answer_nobody_without_a_certificate_of_the_datastore(formed: Bench, path: str) -> None:
    url = f"https://{formed.nodes['n1g1'].address}:{path}"
    own = client_context(formed.datastore_ca.certificate, formed.control)
    async with httpx.AsyncClient(verify=own) as known:
        assert (await known.get(url)).status_code == 200
    async with httpx.AsyncClient(verify=False) as stranger:
        with pytest.raises((httpx.HTTPError, ssl.SSLError)):
            await stranger.get(url)


async def test_users_and_databases_come_and_go_whatever_their_names_hold(formed: Bench) -> None:
    engine, channel, cluster, token = formed.engine, formed.channel, formed.cluster(), formed.token
    name, database = 'o\'Brien "x" \\n :y', 'd\'b "q" \\ $$'
    await engine.put_database(channel, cluster, database, None, token)
    await engine.put_user(channel, cluster, name, "pass'w\"o\\rd", database, False, token)
    await engine.put_user(channel, cluster, name, "changed", database, False, token)
    assert name in {u.name for u in await engine.users(channel, cluster)}
    primary = (await formed.whole()).primary
    assert primary is not None
    async with await formed.connect(primary.label, user=name, password="changed", dbname=database) as connection:
        await connection.execute("create table mine (n int)")
    infos = {d.name: d for d in await engine.databases(channel, cluster)}
    assert (infos[database].owner, infos[database].tables) == ("ccxadmin", 1)
    await engine.drop_user(channel, cluster, name, token)
    await engine.drop_user(channel, cluster, name, token)
    assert name not in {u.name for u in await engine.users(channel, cluster)}
    async with await formed.connect(primary.label, dbname=database) as connection:
        assert (await (await connection.execute("select count(*) from mine")).fetchone()) == (0,)
    await engine.drop_database(channel, cluster, database, token)
    await engine.drop_database(channel, cluster, database, token)
    assert database not in {d.name for d in await engine.databases(channel, cluster)}


async def test_the_first_user_reads_what_others_own_and_no_password_verifier(formed: Bench) -> None:
    engine, channel, cluster, token = formed.engine, formed.channel, formed.cluster(), formed.token
    await engine.put_database(channel, cluster, "shared", None, token)
    await engine.put_user(channel, cluster, "other", "secret", "shared", False, token)
    primary = (await formed.whole()).primary
    assert primary is not None
    async with await formed.connect(primary.label, user="other", password="secret", dbname="shared") as connection:
        await connection.execute("create table theirs as select 1 as n")
    async with await formed.connect(primary.label, dbname="shared") as connection:
        assert (await (await connection.execute("update theirs set n = 2 returning n")).fetchone()) == (2,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("select rolpassword from pg_authid")
    await engine.drop_user(channel, cluster, "other", token)
    await engine.drop_database(channel, cluster, "shared", token)


async def test_reserved_names_are_refused(formed: Bench) -> None:
    engine, channel, cluster = formed.engine, formed.channel, formed.cluster()
    for name in ("postgres", "pg_x", "ccx_y", "", "x" * 64):
        with pytest.raises(Invalid):
            await engine.put_user(channel, cluster, name, "p", None, False, formed.token)
    with pytest.raises(Invalid, match="first user"):
        await engine.drop_user(channel, cluster, "ccxadmin", formed.token)


async def test_a_job_that_lost_its_claim_changes_nothing(formed: Bench) -> None:
    formed.token += 1
    cluster = formed.cluster()
    await formed.engine.configure(formed.channel, cluster, "n1g1", formed.token)
    with pytest.raises(NodeRefused, match="older than"):
        await formed.engine.configure(formed.channel, cluster, "n1g1", formed.token - 1)


async def test_peers_tell_a_node_that_is_there_from_one_that_is_gone(formed: Bench) -> None:
    assert await formed.engine.peers_see(formed.channel, formed.cluster(), "n2g1") == {"n1g1": True, "n3g1": True}


async def test_a_member_of_etcd_that_is_down_is_named_until_it_is_back(formed: Bench) -> None:
    node = formed.cluster().node("n3g1")
    await formed.channel.call(node, "services", {"stop": [ETCD_UNIT]}, token=formed.token)
    try:
        problems = (await formed.engine.observe(formed.cluster())).problems
        assert any(problem.startswith("etcd on n3g1 does not answer") for problem in problems), problems
    finally:
        await formed.channel.call(node, "services", {"start": [ETCD_UNIT]}, token=formed.token)
    await formed.whole()


async def _writer(formed: Bench, *labels: str) -> Writer:
    primary = (await formed.whole()).primary
    assert primary is not None
    async with await formed.connect(primary.label) as connection:
        await connection.execute(f"drop table if exists {TABLE}")
        await connection.execute(f"create table {TABLE} (number bigint primary key)")
    return Writer([formed.connection(label) for label in labels or formed.nodes], TABLE)


async def _settle(formed: Bench, writer: Writer) -> None:
    """Stops writing and compares what was acknowledged with what is there."""
    writer.stop()
    primary = (await formed.whole()).primary
    assert primary is not None
    with psycopg.connect(**formed.connection(primary.label)) as connection:
        assert writer.lost(connection) == []
    assert writer.overlapping_primaries() == []


async def test_losing_a_replica_hardly_stops_the_writes(formed: Bench) -> None:
    writer = await _writer(formed)
    replica = (await formed.whole()).replicas[0].label
    with writer:
        writer.wait_for(50, 30)
        await formed.cloud.power_off(replica, formed.tags())
        writer.wait_for(400, 30)
        formed.stages["write gap, replica lost"] = writer.gap()
        assert any(replica in problem for problem in (await formed.engine.observe(formed.cluster())).problems)
        await formed.cloud.power_on(replica, formed.tags())
        started = time.monotonic()
        await formed.whole(120)
        formed.stages["replica back"] = time.monotonic() - started
    assert writer.gap() < 5
    await _settle(formed, writer)


async def test_a_planned_change_of_primary_is_short_and_loses_nothing(formed: Bench) -> None:
    writer = await _writer(formed)
    target = next(m.label for m in (await formed.whole()).replicas if m.synchronous)
    with writer:
        writer.wait_for(50, 30)
        await formed.engine.switchover(formed.cluster(), target)
        writer.wait_for(50, 30)
        formed.stages["write gap, switchover"] = writer.gap()
        view = await formed.whole()
    assert view.primary is not None
    assert view.primary.label == target
    await _settle(formed, writer)


async def test_a_dead_primary_is_succeeded_replaced_and_forgotten_and_no_write_is_lost(formed: Bench) -> None:
    view = await formed.whole()
    assert view.primary is not None
    dead, place = view.primary.label, view.primary.label.split("g")[0]
    new = f"{place}g{int(dead.split('g')[1]) + 1}"
    writer = await _writer(formed)
    with writer:
        writer.wait_for(50, 30)
        await formed.cloud.power_off(dead, formed.tags())
        started = time.monotonic()
        assert await formed.engine.release_leader(formed.cluster(), dead) is True
        formed.stages["leadership released"] = time.monotonic() - started
        writer.wait_for(50, 60)
        formed.stages["write gap, primary lost"] = writer.gap()
        assert await formed.engine.release_leader(formed.cluster(), dead) is False
        votes = await formed.engine.peers_see(formed.channel, formed.cluster(), dead)
        assert set(votes.values()) == {False}

        formed.token += 1
        survivors = formed.cluster(dead)
        await formed.engine.forget(formed.channel, survivors, dead, formed.token)
        await formed.engine.forget(formed.channel, survivors, dead, formed.token)
        await formed.boot(new)
        started, members = time.monotonic(), formed.cluster(dead)
        await formed.engine.configure(formed.channel, members, new, formed.token)
        notes: list[str] = []

        async def note(progress: dict[str, str]) -> None:
            notes.append(progress["note"])

        await formed.engine.join(formed.channel, members, new, formed.token, note)
        formed.stages["replacement streams"] = time.monotonic() - started
        await formed.engine.join(formed.channel, members, new, formed.token)
        await formed.remove(dead)
        view = await formed.whole()
        formed.stages["whole again"] = time.monotonic() - started
    assert {m.label for m in view.members} == set(formed.nodes)
    assert [m.role for m in view.members].count(Role.PRIMARY) == 1
    assert any(new in said for said in notes)
    await _settle(formed, writer)
