"""Backups in the API: what is recorded of them, whose they are, and what can be made from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.integration.rest.conftest import Api, eventually

import ccx.runner.backup_datastore
import ccx.runner.remove_backups  # noqa: F401
from ccx import jobs
from ccx.clouds.base import NoCapacity
from ccx.clouds.simulated.control import Control
from ccx.cmon.backup import BacksUp, Kind
from ccx.jobs import Job, operation
from ccx.rest import restores_in_place
from ccx.runner import branches, targets
from ccx.runner.services import Services
from ccx.runner.steps import backups as steps
from ccx.runner.subject import Subject
from ccx.runner.targets import Target
from ccx.state import expiring
from ccx.stores import backups, datastores
from ccx.stores.models import Status

PATH = "/backup/api/v1/backups"
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

pytestmark = pytest.mark.usefixtures("running")


def row(label: str, *, hours: int = 0, **changed: Any) -> dict[str, Any]:
    """A backup that ended ``hours`` after this time yesterday."""
    ended = YESTERDAY + timedelta(hours=hours)
    return {
        "label": label, "parent": None, "kind": "full", "good": True, "size": 5_000_000, "stored": 1_000_000,
        "started_at": ended - timedelta(minutes=1), "ended_at": ended, "wal_first": None, "wal_last": None, **changed,
    }  # fmt: skip


async def record(services: Services, uuid: str, *rows: dict[str, Any]) -> None:
    async with services.sessions.begin() as tx:
        await backups.replace(tx, await datastores.get(tx, UUID(uuid)), rows)


async def test_recorded_backups_are_listed_newest_first_and_outlive_their_datastore(
    user: Api, services: Services
) -> None:
    uuid = await user.started()
    await record(services, uuid, row("1F"), row("1F_2I", hours=1, parent="1F", kind="incremental", good=False))
    await user.delete(f"/prov/api/v2/cluster/{uuid}")
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")

    listed = (await user.get(f"{PATH}/{uuid}")).json()
    assert listed["total"] == 2
    newest = listed["backups"][0]
    assert {name: newest[name] for name in ("backup_id", "parent_id", "backup_type", "status", "size")} == {
        "backup_id": "1F_2I", "parent_id": "1F", "backup_type": "incremental", "status": "damaged", "size": 5_000_000,
    }  # fmt: skip
    everything = (await user.get(PATH)).json()["backups"]
    assert [(b["backup_id"], b["datastore_uuid"], b["datastore_status"]) for b in everything] == [
        ("1F_2I", uuid, "DELETED"),
        ("1F", uuid, "DELETED"),
    ]


async def test_what_the_store_no_longer_has_is_no_longer_listed(user: Api, services: Services) -> None:
    uuid = await user.started()
    await record(services, uuid, row("1F"), row("2F", hours=1))
    await record(services, uuid, row("2F", hours=1), row("3F", hours=2))
    assert [b["backup_id"] for b in (await user.get(f"{PATH}/{uuid}")).json()["backups"]] == ["3F", "2F"]


async def test_somebody_elses_backups_are_absent(user: Api, other: Api, services: Services) -> None:
    uuid = await user.started()
    await record(services, uuid, row("1F"))
    assert (await other.get(f"{PATH}/{uuid}")).status_code == 404
    assert (await other.get(PATH)).json()["backups"] == []


async def scheduled(services: Services, uuid: str) -> list[tuple[str, str]]:
    async with services.sessions() as tx:
        rows = await tx.execute(
            text("select cron, coalesce(args->>'kind', kind) from jobs.schedule where key = :key order by 2"),
            {"key": uuid},
        )
        return [(cron, kind) for cron, kind in rows]


async def test_what_was_backed_up_once_is_backed_up_by_itself_until_it_is_deleted(
    user: Api, services: Services
) -> None:
    uuid = await user.started()
    assert await scheduled(services, uuid) == []
    found = [
        {
            "id": "1F", "parent": None, "kind": "full", "started": YESTERDAY.isoformat(), "size": 1, "stored": 1,
            "ended": YESTERDAY.isoformat(), "good": True, "log": ["A", "B"],
        }
    ]  # fmt: skip
    async with services.sessions.begin() as tx:
        await steps.record(services, uuid, found)(tx)
    assert await scheduled(services, uuid) == [
        ("0 4 * * *", "full"),
        ("0 * * * *", "incremental"),
        ("0 6 * * 6", "order_drill"),
        ("30 2 * * 0", "verify_backups"),
    ]
    assert (await user.get(f"{PATH}/{uuid}")).json()["total"] == 1

    await user.delete(f"/prov/api/v2/cluster/{uuid}")
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    assert await scheduled(services, uuid) == []


async def until(services: Services, uuid: str) -> datetime | None:
    async with services.sessions() as tx:
        return (await datastores.get(tx, UUID(uuid))).backups_until


async def with_backups(user: Api, services: Services, name: str, **changed: Any) -> str:
    """A datastore with one backup in the records, and a cipher."""
    uuid = await user.started(general={"cluster_name": name})
    await record(services, uuid, row("1F", **changed))
    async with services.sessions.begin() as tx:
        await services.vault.put(tx, f"backups:{uuid}", "cipher", "sealed")
    return uuid


async def cipher(services: Services, uuid: str) -> dict[str, str]:
    async with services.sessions() as tx:
        return await services.vault.get_all(tx, f"backups:{uuid}")


async def test_backups_of_a_deleted_datastore_are_kept_for_their_retention_and_then_removed_for_good(
    user: Api, services: Services
) -> None:
    uuid = await with_backups(user, services, "kept")
    await user.put(f"/backup/api/v1/policies/{uuid}", {"keep_deleted_days": 3})
    await user.delete(f"/prov/api/v2/cluster/{uuid}")
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    due = await until(services, uuid)
    assert due is not None
    assert timedelta(days=2.9) < due - datetime.now(UTC) <= timedelta(days=3)
    await expiring.expire(services)
    assert (await user.get(f"{PATH}/{uuid}")).json()["total"] == 1

    async with services.sessions.begin() as tx:
        (await datastores.get(tx, UUID(uuid))).backups_until = datetime.now(UTC)
    await expiring.expire(services)
    await user.finished(uuid, "JOB_TYPE_REMOVE_BACKUPS")
    assert (await user.get(f"{PATH}/{uuid}")).json()["total"] == 0
    assert await cipher(services, uuid) == {}
    assert await until(services, uuid) is None


async def test_a_restore_in_place_that_the_cloud_has_no_room_for_is_refused(
    user: Api, services: Services, cloud_control: Control
) -> None:
    uuid = UUID(await with_backups(user, services, "full-house"))
    await cloud_control.set_limits(cpu=0)
    try:
        async with services.sessions.begin() as tx:
            datastore = await datastores.get(tx, uuid)
            found, _ = await backups.of(tx, uuid)
            plan = await targets.plan(services, datastore, found, Target(backup="1F", at_once=True))
            with pytest.raises(NoCapacity, match="cpu 2 asked for, 0 of 0 free"):
                await restores_in_place.check(services, tx, datastore, plan, {})
    finally:
        await cloud_control.set_limits(cpu=1000)


async def test_what_is_restored_just_now_is_not_removed(user: Api, services: Services) -> None:
    uuid = await with_backups(user, services, "read")
    await user.delete(f"/prov/api/v2/cluster/{uuid}")
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    async with services.sessions.begin() as tx:
        source = await datastores.get(tx, UUID(uuid))
        source.backups_until = datetime.now(UTC)
        made = await datastores.never(
            tx, (source.owner_type, source.owner_id), name="drill", vendor="postgres", version="17", size=1,
            cluster_type="", cloud="north", region="osl", instance_size="small", volume_type="ssd", volume_size=20,
            origin={"datastore": uuid, "backup": "1F", "to": "backup"},
        )  # fmt: skip
        reading = await jobs.enqueue(
            tx, "not_here", key=str(made.id), owner=(source.owner_type, source.owner_id), label="READS"
        )
    await expiring.expire(services)
    await user.finished(uuid, "JOB_TYPE_REMOVE_BACKUPS")
    assert (await user.get(f"{PATH}/{uuid}")).json()["total"] == 1
    assert await cipher(services, uuid)

    async with services.sessions.begin() as tx:
        await tx.execute(
            text("update jobs.job set status = 'done', finished_at = now() where id = :id"), {"id": reading}
        )

    async def removed() -> bool:
        await expiring.expire(services)
        return bool((await user.get(f"{PATH}/{uuid}")).json()["total"] == 0)

    await eventually(removed)


@operation("expire_now", deadline=timedelta(minutes=1))
async def expire_now(job: Job, datastore_id: str) -> None:
    """The step of a backup's job that removes what is no longer kept."""
    await job.step("expire", steps.expire(job.services, datastore_id))


async def test_a_backup_whose_time_is_over_stays_as_long_as_it_is_restored(user: Api, services: Services) -> None:
    uuid, owner = await user.started(), ("user", user.user_id)
    await user.put(f"/backup/api/v1/policies/{uuid}", {"keep_days": 0, "keep_full": 1})
    subject = await Subject.load(services, uuid)
    engine, cluster = subject.engine, await subject.cluster()
    assert isinstance(engine, BacksUp)

    async def unheard(_: dict[str, Any]) -> None: ...

    async with services.sessions() as tx:
        token = await jobs.last_token(tx, uuid)
    for name in ("1F", "2F"):
        await engine.back_up(services.channel, cluster, name, Kind.FULL, token, unheard)
    async with services.sessions.begin() as tx:
        same = {name: getattr(subject.datastore, name) for name in ("vendor", "version", "cluster_type", "cloud")}
        made = await datastores.add(
            tx, owner, name="reads-1F", **same, size=1, region="osl", instance_size="small", volume_type="ssd",
            volume_size=20, origin={"datastore": uuid, "backup": "1F", "to": "latest"},
        )  # fmt: skip
        await jobs.enqueue(tx, "not_here", key=str(made.id), owner=owner, label="READS")

    async def kept_after(label: str) -> list[str]:
        async with services.sessions.begin() as tx:
            await jobs.enqueue(tx, "expire_now", key=uuid, args={"datastore_id": uuid}, owner=owner, label=label)
        await user.finished(uuid, label)
        return [one.id for one in await engine.backups(services.channel, cluster)]

    assert await kept_after("WHILE_READ") == ["1F", "2F"]
    async with services.sessions.begin() as tx:  # it serves, and has jobs of its own again and again
        datastores.set_status(tx, await datastores.get(tx, made.id), Status.STARTED)
        await _restoring(tx, uuid, {"branch": 1, "of": 0, "state": branches.PREPARING, "backup": "1F"})
    assert await kept_after("WHILE_A_RESTORE_IN_PLACE_WAITS") == ["1F", "2F"]
    async with services.sessions.begin() as tx:
        await _restoring(tx, uuid, None)
    assert await kept_after("AFTERWARDS") == ["2F"]


async def _restoring(tx: AsyncSession, uuid: str, plan: dict[str, Any] | None) -> None:
    (await datastores.get(tx, UUID(uuid))).restoring = plan


async def test_deleting_backups_too_wants_the_name_and_leaves_none(user: Api, services: Services) -> None:
    uuid = await with_backups(user, services, "all-of-it")
    for confirm in ("", "&confirm=all-of", "&confirm=ALL-OF-IT"):
        refused = await user.delete(f"/prov/api/v2/cluster/{uuid}?delete_backups=true{confirm}")
        assert (refused.status_code, refused.json()["field"]) == (422, "confirm")
    assert (await user.get(f"/deployment/v3/data-stores/{uuid}")).json()["cluster_status"] == "STARTED"

    assert (await user.delete(f"/prov/api/v2/cluster/{uuid}?delete_backups=true&confirm=all-of-it")).status_code == 200
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    await expiring.expire(services)
    await user.finished(uuid, "JOB_TYPE_REMOVE_BACKUPS")
    assert (await user.get(f"{PATH}/{uuid}")).json()["total"] == 0


async def test_locked_backups_are_removed_when_they_no_longer_are(user: Api, services: Services) -> None:
    locked = datetime.now(UTC) + timedelta(days=5)
    uuid = await with_backups(user, services, "locked", locked_until=locked)
    await user.delete(f"/prov/api/v2/cluster/{uuid}?delete_backups=true&confirm=locked")
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    assert await until(services, uuid) == locked
    again = await user.delete(f"{PATH}/{uuid}?confirm=locked")
    assert datetime.fromisoformat(again.json()["removed_at"]) == locked
    assert (await user.get(f"{PATH}/{uuid}")).json()["total"] == 1


async def test_the_policy_is_the_installations_until_the_datastore_has_its_own(user: Api, services: Services) -> None:
    uuid = await with_backups(user, services, "own")
    path = f"/backup/api/v1/policies/{uuid}"
    assert (await user.get(path)).json() == {
        "full": "0 4 * * *", "incremental": "0 * * * *", "verify": "30 2 * * 0", "drill": "0 6 * * 6",
        "keep_days": 14, "keep_full": 2, "keep_deleted_days": 14, "own": [],
    }  # fmt: skip
    changed = (await user.put(path, {"keep_days": 30, "drill": "", "full": "15 1 * * *"})).json()
    assert (changed["keep_days"], changed["drill"], changed["own"]) == (30, "", ["drill", "full", "keep_days"])
    assert await scheduled(services, uuid) == [
        ("15 1 * * *", "full"),
        ("0 * * * *", "incremental"),
        ("30 2 * * 0", "verify_backups"),
    ]
    for field, bad in (("full", "often"), ("keep_days", -1), ("keep_full", "many")):
        refused = await user.put(path, {field: bad})
        assert (refused.status_code, refused.json()["field"]) == (422, field)


async def test_the_proof_tells_what_is_known_and_what_failed(user: Api, services: Services) -> None:
    uuid = await with_backups(user, services, "proved")
    await record(
        services,
        uuid,
        row("1F", drill={"at": YESTERDAY.isoformat(), "proved": True, "seconds": 41.5}),
        row("2F", hours=2, drill={"at": datetime.now(UTC).isoformat(), "proved": False, "err": "t has 1 rows"}),
        row("3F", hours=3, unusable="3F/bundle/1 is missing"),
    )
    found = (await user.get(f"/backup/api/v1/proof/{uuid}")).json()
    assert (found["backups"], found["usable"], found["proved_backup_id"]) == (3, 2, "1F")
    assert (found["recovery_seconds"], found["drill_err"]) == (41.5, "t has 1 rows")
    assert datetime.fromisoformat(found["newest_at"]) == YESTERDAY + timedelta(hours=2)
    listed = (await user.get(f"{PATH}/{uuid}")).json()["backups"]
    assert [(one["status"], one["err"]) for one in listed] == [
        ("unusable", "3F/bundle/1 is missing"),
        ("completed", ""),
        ("completed", ""),
    ]


async def test_metrics_tell_operators_what_is_proved(
    user: Api, operator: Api, services: Services, http: httpx.AsyncClient
) -> None:
    uuid = await with_backups(user, services, "measured")
    proved = {"at": YESTERDAY.isoformat(), "proved": True, "seconds": 41.5}
    await record(services, uuid, row("1F", drill=proved), row("2F", hours=2, unusable="2F/bundle/1 is missing"))
    text = (await http.get("/metrics", headers=operator.headers)).text
    lines = [line for line in text.splitlines() if uuid in line]
    for name, value in {
        "datastore_started": 1, "backups": 2, "backups_unusable": 1, "recovery_seconds": 41.5,
        "backup_proved_timestamp_seconds": YESTERDAY.timestamp(),
    }.items():  # fmt: skip
        assert [float(line.split()[-1]) for line in lines if line.startswith(f"ccx_{name}{{")] == [value]
    assert not [line for line in lines if line.startswith("ccx_recovery_point")]


async def test_a_first_backup_that_fails_says_why_and_comes_again_by_itself(user: Api, services: Services) -> None:
    uuid = await user.started()
    owner = ("user", user.user_id)
    args = {"datastore_id": uuid, "kind": "full"}
    async with services.sessions.begin() as tx:
        await jobs.enqueue(tx, "backup_datastore", key=uuid, args=args, owner=owner, label="JOB_TYPE_BACKUP")

    async def failed() -> dict[str, Any] | None:
        found = (await user.get(f"/backup/api/v1/proof/{uuid}")).json()
        return found if found["failed_err"] else None

    found = await eventually(failed)
    assert "no object store" in found["failed_err"]
    again = datetime.fromisoformat(found["again_at"])
    assert timedelta(minutes=14) < again - datetime.now(UTC) < timedelta(minutes=15)
    async with services.sessions() as tx:
        waiting = text("select run_at, args->>'kind' from jobs.job where key = :key and status = 'queued'")
        assert [(at, kind) for at, kind in await tx.execute(waiting, {"key": uuid})] == [(again, "full")]

    # What is deleted is not backed up again.
    await user.delete(f"/prov/api/v2/cluster/{uuid}")
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    async with services.sessions() as tx:
        assert (await tx.execute(waiting, {"key": uuid})).all() == []
