"""Backups in the API: what is recorded of them, whose they are, and what can be made from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.integration.rest.conftest import Api

from ccx.runner.services import Services
from ccx.runner.steps import backups as steps
from ccx.stores import backups, datastores

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
            text("select cron, args->>'kind' from jobs.schedule where key = :key order by 2"), {"key": uuid}
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
    assert await scheduled(services, uuid) == [("0 4 * * *", "full"), ("0 * * * *", "incremental")]
    assert (await user.get(f"{PATH}/{uuid}")).json()["total"] == 1

    await user.delete(f"/prov/api/v2/cluster/{uuid}")
    await user.finished(uuid, "JOB_TYPE_DESTROY_DATASTORE")
    assert await scheduled(services, uuid) == []
