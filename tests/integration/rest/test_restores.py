"""What a restore is refused for, by the API: named with its field and remedy, before anything is stored or made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.integration.conftest import Database
from tests.integration.rest.conftest import NORTH, Api, eventually, make_services
from tests.integration.rest.test_backups import PATH, record, row
from tests.integration.rest.test_bad_input import rows

import ccx.runner.replace_node
import ccx.runner.undo_restore  # noqa: F401 - registers its operation, as the other does
from ccx import jobs
from ccx.cmon.backup import Kind
from ccx.cmon.engines.simulated import SimulatedEngine
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.simulated_channel import SimulatedChannel
from ccx.cmon.spec import ClusterSpec
from ccx.jobs import Step
from ccx.runner import branches, readers
from ccx.runner.services import Services
from ccx.runner.steps import backups as steps
from ccx.runner.subject import Subject
from ccx.settings.model import POSTGRES
from ccx.settings.vendors import MARIADB, PERCONA
from ccx.state import fence
from ccx.stores import backups, datastores, nodes
from ccx.stores.models import NodeStatus

GIB = 2**30

pytestmark = pytest.mark.usefixtures("running")


class NumbersTransactions(SimulatedEngine):
    """One whose log has the transactions 1 to 90, all of one server but the last ten."""

    topologies = ("replication",)
    speaks = "mysql"
    places = "mariadb-gtid"

    async def log_position(self, channel: NodeChannel, cluster: ClusterSpec) -> tuple[str, int]:
        return "0-10002-90", 91

    async def transaction_at(self, channel: NodeChannel, cluster: ClusterSpec, number: int) -> str | None:
        return f"0-{10001 if number <= 80 else 10002}-{number}"


A, B, C = (f"0000000{n}-0000-0000-0000-000000000000" for n in (1, 2, 3))


class CountsByServer(SimulatedEngine):
    """One whose history has 80 transactions of one server, and ten of the next."""

    topologies = ("replication",)
    speaks = "mysql"
    places = "mysql-gtid"

    async def log_position(self, channel: NodeChannel, cluster: ClusterSpec) -> tuple[str, int]:
        return f"{A}:1-80,{B}:1-10", 91


@pytest.fixture(scope="module")
async def services(
    database: Database, cloud_socket: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Services]:
    """With three vendors, and a store that is named: who is refused never gets as far as asking it."""
    made = make_services(database.sessions, cloud_socket, tmp_path_factory.mktemp("instance"))
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("access\nsecret\n")
    keys.chmod(0o600)
    stored = {"s3_endpoint": "https://127.0.0.1:9", "s3_bucket": "backups", "s3_credentials": keys}
    clouds = (NORTH.model_copy(update=stored),)
    settings = made.settings.model_copy(update={"clouds": clouds, "databases": (POSTGRES, MARIADB, PERCONA)})
    channel = SimulatedChannel(cloud_socket)
    engines = {
        "postgres": SimulatedEngine(channel),
        "mariadb": NumbersTransactions(channel),
        "percona": CountsByServer(channel),
    }
    yield replace(made, settings=settings, engine=lambda vendor, topology="": engines[vendor])
    await channel.close()
    await made.clouds["north"].close()
    await made.channel.close()


async def backed_up(user: Api, services: Services, vendor: str, **changed: Any) -> str:
    """A datastore with one backup in the records."""
    uuid = await user.started(general={"db_vendor": vendor})
    lsn = {"mariadb": "0-10001-40", "percona": f"{A}:1-40"}.get(vendor, "0/2000000")
    await record(services, uuid, row("1F", lsn=lsn, **changed))
    return uuid


async def refused(user: Api, services: Services, uuid: str, wish: dict[str, Any]) -> dict[str, Any]:
    """The answer to it; nothing is stored, and no job."""
    before = await rows(services)
    answer = await user.post(f"{PATH}/{uuid}/restore", wish)
    assert 400 <= answer.status_code < 500, answer.text
    assert await rows(services) == before
    told: dict[str, Any] = answer.json()
    return told


OF_MARIADB: list[tuple[dict[str, Any], str, str, str]] = [
    ({"pitr_stop_lsn": "0/3000148"}, "pitr_stop_lsn", "'0/3000148' is no place in its log", "0-10001-57"),
    ({"pitr_stop_lsn": "0-10001"}, "pitr_stop_lsn", "'0-10001' is no place in its log", "0-10001-57"),
    (
        {"pitr_stop_lsn": "0-10002-91"},
        "pitr_stop_lsn",
        "the log ends at 0-10002-90",
        "-40, up to 0-10002-90",
    ),
    ({"pitr_stop_lsn": "0-10001-40"}, "pitr_stop_lsn", "no backup reaches back to 0-10001-40", "after 0-10001-40"),
    ({"pitr_stop_lsn": "0-10001-7"}, "pitr_stop_lsn", "no backup reaches back to 0-10001-7", "after 0-10001-40"),
    ({"pitr_stop_lsn": "3-10001-50"}, "pitr_stop_lsn", "3 is no domain of its transactions", "one like 0-10001-40"),
    ({"pitr_stop_lsn": "0-10001-85"}, "pitr_stop_lsn", "there is no transaction 0-10001-85", "Write 0-10002-85"),
    ({"pitr_stop_xid": 50}, "pitr_stop_xid", "mariadb has no such ids", "by its GTID, as pitr_stop_lsn"),
    ({"pitr_stop_time": "2020-01-01T00:00:00Z"}, "pitr_stop_time", "the first backup ended at", "Choose a time from"),
    ({"pitr_stop_time": "2120-01-01T00:00:00Z"}, "pitr_stop_time", "that time is not yet", "Choose a time from"),
    ({"pitr_stop_lsn": "0-10001-50", "pitr_stop_xid": 50}, "pitr_stop_xid", "exclude each other", "all but"),
    ({"backup_id": "9F", "pitr_stop_lsn": "0-10001-50"}, "backup_id", "there is no backup 9F", "ccx backup list"),
    ({"db_vendor": "postgresql"}, "db_vendor", "backups of mariadb can't be restored into postgresql", "a dump"),
    ({"db_version": "10.11"}, "db_version", "mariadb 11.8 can't be restored into 10.11: an older version", "Leave it"),
    ({"db_version": "12.1"}, "db_version", "mariadb 11.8 can't be restored into 12.1: it is restored as", "Leave it"),
]


@pytest.mark.parametrize("in_place", [True, False])
async def test_what_can_not_be_restored_is_named_and_nothing_is_made(
    user: Api, services: Services, *, in_place: bool
) -> None:
    uuid = await backed_up(user, services, "mariadb")
    for wish, field, err, remedy in OF_MARIADB:
        told = await refused(user, services, uuid, {**wish, "in_place": in_place})
        assert (told["field"], err in told["err"], remedy in told["remedy"]) == (field, True, True), told


OF_MYSQL = [
    ("0-10001-57", "'0-10001-57' is no place in its log", "429562:57"),
    (f"{A}:1-57", "is no place in its log", "429562:57"),
    (f"{A}:40", f"no backup reaches back to {A}:40", f"after {A}:40"),
    (f"{A}:81", f"the log ends at {A}:80, before {A}:81", f"{A}:40, up to {A}:80"),
    (f"{B}:11", f"the log ends at {B}:10, before {B}:11", f"up to {B}:10"),
    (f"{C}:1", f"the log has none of {C}", f"{A}:1-80,{B}:1-10"),
]


async def test_of_a_history_of_several_servers_what_it_has_not_is_named(user: Api, services: Services) -> None:
    uuid = await backed_up(user, services, "percona")
    for gtid, err, remedy in OF_MYSQL:
        told = await refused(user, services, uuid, {"pitr_stop_lsn": gtid})
        assert (told["field"], err in told["err"], remedy in told["remedy"]) == ("pitr_stop_lsn", True, True), told


async def test_a_later_servers_transaction_is_restored_to_from_the_newest_backup_that_has_it_not(
    user: Api, services: Services
) -> None:
    uuid = await backed_up(user, services, "percona")
    await record(
        services, uuid, row("1F", lsn=f"{A}:1-40"), row("2F", hours=1, lsn=f"{A}:1-60"),
        row("3F", hours=2, lsn=f"{A}:1-80,{B}:1-5"),
    )  # fmt: skip
    for gtid, backup in ((f"{A}:60", "1F"), (f"{A}:61", "2F"), (f"{B}:1", "2F"), (f"{B}:6", "3F")):
        answer = await user.post(f"{PATH}/{uuid}/restore", {"pitr_stop_lsn": gtid, "dry_run": True})
        assert answer.status_code == 202, answer.text
        assert answer.json()["backup_id"] == backup, gtid


@pytest.mark.parametrize(
    ("wish", "field", "err"),
    [
        ({"pitr_stop_lsn": "0-10001-57"}, "pitr_stop_lsn", "'0-10001-57' is no place in its log"),
        ({"pitr_stop_lsn": "0/1000001"}, "pitr_stop_lsn", "the log ends at 0/1000000"),
        ({"pitr_stop_lsn": ""}, "pitr_stop_lsn", "'' is no place in its log"),
        ({"pitr_stop_time": ""}, "pitr_stop_time", ""),
        ({"backup_id": ""}, "backup_id", "there is no backup"),
        ({"cluster_size": 0}, "cluster_size", "can't have 0 nodes"),
        ({"volume_size": 0}, "volume_size", "0 GiB is outside"),
        ({"db_vendor": "mariadb"}, "db_vendor", "backups of postgres can't be restored into mariadb"),
        ({"db_version": "16"}, "db_version", "backups of postgres 17 can't be restored into 16: an older version"),
        ({"db_vendor": "oracle"}, "db_vendor", "'oracle' is not offered here"),
    ],
)
async def test_postgresql_is_asked_in_its_own_words(
    user: Api, services: Services, wish: dict[str, Any], field: str, err: str
) -> None:
    uuid = await user.started()
    await record(services, uuid, row("1F", lsn="0/800000"))
    told = await refused(user, services, uuid, wish)
    assert (told["field"], err in told["err"]) == (field, True), told


async def test_a_transaction_in_the_window_is_restored_to_from_the_newest_backup_before_it(
    user: Api, services: Services
) -> None:
    uuid = await backed_up(user, services, "mariadb")
    await record(
        services, uuid, row("1F", lsn="0-10001-40"), row("2F", hours=1, lsn="0-10001-60"),
        row("3F", hours=2, lsn="0-10002-85"),
    )  # fmt: skip
    for number, backup in ((60, "1F"), (61, "2F"), (85, "2F"), (86, "3F"), (90, "3F")):
        gtid = f"0-{10001 if number <= 80 else 10002}-{number}"
        answer = await user.post(f"{PATH}/{uuid}/restore", {"pitr_stop_lsn": gtid, "dry_run": True})
        assert answer.status_code == 202, answer.text
        assert answer.json()["backup_id"] == backup, gtid


@pytest.mark.parametrize(
    ("wish", "remedy"),
    [
        ({"volume_size": 20}, "Choose at least 35 GiB"),
        ({"volume_size": 1}, "Choose 10 to 1000 GiB"),
        ({"in_place": True}, "Choose at least 35 GiB"),
        ({"in_place": True, "volume_size": 100}, "Leave it out, or restore into a new datastore"),
    ],
)
async def test_volumes_that_can_not_hold_it_are_refused_with_the_size_that_can(
    user: Api, services: Services, wish: dict[str, Any], remedy: str
) -> None:
    uuid = await backed_up(user, services, "mariadb", size=30 * GIB)
    told = await refused(user, services, uuid, wish)
    assert (told["field"], told["remedy"]) == ("volume_size", remedy)


async def test_while_another_operation_runs_it_is_refused_with_that_ones_job(user: Api, services: Services) -> None:
    uuid = await backed_up(user, services, "mariadb")
    async with services.sessions.begin() as tx:
        other = await jobs.enqueue(tx, "not_here", key=uuid, owner=("user", user.user_id), label="OTHER")
        begun = text("update jobs.job set status = 'running', lease_until = now() + interval '1 hour' where id = :id")
        await tx.execute(begun, {"id": other})
    told = await refused(user, services, uuid, {"in_place": True})
    assert (told["code"], told["job_id"]) == (409, str(other))
    assert told["err"] == "another operation runs: OTHER"
    assert str(other) in told["remedy"]


async def test_while_the_data_of_before_are_kept_it_is_refused_with_what_decides(user: Api, services: Services) -> None:
    uuid = await backed_up(user, services, "mariadb")
    async with services.sessions.begin() as tx:
        datastore = await datastores.get(tx, UUID(uuid))
        datastore.restoring = {"branch": 1, "of": 0, "state": branches.KEPT, "kept_until": "2120-01-01T00:00:00+00:00"}
    told = await refused(user, services, uuid, {"in_place": True})
    assert told["code"] == 409
    assert "confirm-restore" in told["remedy"]


async def test_a_backup_that_is_removed_while_a_restore_of_it_is_ordered_is_refused_at_once(
    user: Api, services: Services
) -> None:
    uuid = await backed_up(user, services, "mariadb")
    both = (row("1F", lsn="0-10001-40"), row("2F", hours=1, lsn="0-10001-60"))
    await record(services, uuid, *both)
    async with services.sessions.begin() as tx:
        await datastores.get(tx, UUID(uuid), for_update=True)
        asking = asyncio.create_task(user.post(f"{PATH}/{uuid}/1F/restore", {}))
        await eventually(lambda: someone_waits(services))
        await backups.going(tx, UUID(uuid), ["1F"])
    told = (await asking).json()
    assert (told["code"], told["field"]) == (409, "backup_id")
    assert "ccx backup list" in told["remedy"]
    named = await refused(user, services, uuid, {"backup_id": "1F"})
    assert named["err"] == "the backup 1F can't be restored: retention removes it"
    await record(services, uuid, *both)  # it could not be removed
    assert (await user.post(f"{PATH}/{uuid}/1F/restore", {"dry_run": True})).json()["backup_id"] == "1F"


async def test_a_backup_stays_whose_restore_was_ordered_while_retention_looked(
    user: Api, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_drop_unfinished", nothing)  # it would ask the store, which is not there
    uuid = await user.started()
    subject = await Subject.load(services, uuid)
    engine, spec, token = cast(SimulatedEngine, subject.engine), await subject.cluster(), await fence.token(subject)
    for name in ("older", "newer"):
        await engine.back_up(services.channel, spec, name, Kind.FULL, token, nothing)
    there = await engine.backups(services.channel, spec)
    await record(services, uuid, *(row(one.id, ended_at=one.ended, lsn="0/800000") for one in there))
    oldest = there[0].id
    async with services.sessions.begin() as tx:
        datastore = await datastores.get(tx, UUID(uuid), for_update=True)
        datastore.backup_policy = {"keep_days": 0, "keep_full": 1}

    ordered = await user.post(f"{PATH}/{uuid}/{oldest}/restore", {"dry_run": True})
    assert ordered.status_code == 202, ordered.text
    step = cast(Step, SimpleNamespace(token=token))
    async with services.sessions.begin() as tx:
        source = await datastores.get(tx, UUID(uuid))
        (backup,) = [one for one in (await backups.of(tx, source.id))[0] if one.label == oldest]
        await readers.check_stays(tx, source, backup)
        expiring = asyncio.create_task(steps.expire(services, uuid)(step))
        await eventually(lambda: someone_waits(services))
        made = await datastores.never(
            tx, ("user", user.user_id), name="reader", origin={"datastore": uuid, "backup": oldest},
            **{name: getattr(source, name) for name in SHAPE},
        )  # fmt: skip
        await jobs.enqueue(tx, "not_here", key=str(made.id))
    await expiring
    assert {one.id for one in await engine.backups(services.channel, spec)} == {one.id for one in there}
    async with services.sessions() as tx:
        assert await backups.stays(tx, UUID(uuid), oldest)


SHAPE = (
    "vendor", "version", "cluster_type", "size", "cloud", "region", "instance_size", "volume_type", "volume_size",
)  # fmt: skip


async def nothing(*_: object) -> None: ...


async def someone_waits(services: Services) -> bool:
    """For what somebody else has locked."""
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with services.sessions() as tx:
        return bool(await tx.scalar(text(waiting)))


async def ended(user: Api, job_id: str) -> dict[str, Any]:
    """The job, when it is over."""

    async def over() -> dict[str, Any] | None:
        job: dict[str, Any] = (await user.get(f"/deployment/v2/jobs/{job_id}")).json()
        return job if job["finished_at"] else None

    job: dict[str, Any] = await eventually(over)
    return job


async def test_a_node_of_before_whose_replacement_was_ordered_in_time_is_kept_all_the_same(
    user: Api, services: Services
) -> None:
    """It was lost while the restore in place waited for its turn, and what was restored has taken over since."""
    uuid = await user.started()
    async with services.sessions.begin() as tx:
        before = await nodes.reserve(tx, services.settings, await datastores.get(tx, UUID(uuid)), 1)
        before.status = NodeStatus.KEPT
        args = {"datastore_id": uuid, "node_id": str(before.id)}
        job_id = await jobs.enqueue(tx, "replace_node", key=uuid, args=args, owner=("user", user.user_id))
    job = await ended(user, str(job_id))
    assert job["error"] == f"node {before.label} is no member of its datastore any more"
    async with services.sessions() as tx:
        there = nodes.present(await datastores.get(tx, UUID(uuid)))
    assert [(node.generation, node.status) for node in there] == [(1, NodeStatus.ACTIVE), (2, NodeStatus.KEPT)]


@pytest.mark.parametrize(
    ("kept", "why", "steps"),
    [
        (False, "nothing is kept of before a restore in place", ["before"]),
        (True, "the machines of before the restore are gone: what is there now goes on serving", ["before", "there"]),
    ],
    ids=["confirmed meanwhile", "gone from the cloud"],
)
async def test_what_cannot_be_taken_back_touches_nothing_that_serves(
    user: Api, services: Services, kept: bool, why: str, steps: list[str]
) -> None:
    uuid = await user.started()
    async with services.sessions.begin() as tx:
        datastore = await datastores.get(tx, UUID(uuid))
        datastore.restoring = {"branch": 0, "of": 0, "state": branches.KEPT, "kept_until": "2120-01-01T00:00:00+00:00"}
        if kept:
            (await nodes.reserve(tx, services.settings, datastore, 1)).status = NodeStatus.KEPT
    asked = (await user.post(f"{PATH}/{uuid}/restore/undo")).json()
    job = await ended(user, asked["job_id"])
    assert (job["error"], [step["name"] for step in job["steps"]]) == (why, steps)
    assert (await user.get(f"/deployment/v3/data-stores/{uuid}")).json()["cluster_status"] == "STARTED"
