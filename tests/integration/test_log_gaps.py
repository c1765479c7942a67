"""What a datastore's log lacks is remembered with it, and a full backup of the same branch makes up for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.integration.conftest import Database
from tests.integration.test_datastore_names import SHAPE

from ccx import jobs
from ccx.db import utc_now
from ccx.ids import new_id
from ccx.runner import branches
from ccx.state import gaps
from ccx.state.archive import Gap
from ccx.stores import backups, datastores

MINUTE = timedelta(minutes=1)
AGO = utc_now().replace(microsecond=0) - 60 * MINUTE


@pytest.fixture
async def orders(database: Database) -> UUID:
    async with database.sessions.begin() as tx:
        return (await datastores.add(tx, ("user", new_id()), name="orders", **SHAPE)).id


async def told(database: Database, orders: UUID, *at: datetime, branch: int = 0) -> bool:
    """The primary's node of that branch has noted what it gave up at these times."""
    async with database.sessions.begin() as tx:
        return await gaps.remember(tx, orders, branch, Gap(at[0], at[-1]))


async def backed_up(database: Database, orders: UUID, label: str, began: datetime, **changed: Any) -> None:
    row = {
        "label": label, "parent": None, "kind": "full", "good": True, "size": 1, "stored": 1, "branch": 0,
        "started_at": began, "ended_at": began + MINUTE, **changed,
    }  # fmt: skip
    async with database.sessions.begin() as tx:
        await backups.replace(tx, await datastores.get(tx, orders), [row])


async def missing(database: Database, orders: UUID) -> Gap | None:
    async with database.sessions() as tx:
        return await gaps.missing(tx, await datastores.get(tx, orders))


async def ordered(database: Database, orders: UUID) -> list[str]:
    """By the state worker, which has just heard that the store takes the log."""
    async with database.sessions.begin() as tx:
        await gaps.make_up(tx, orders)
    async with database.sessions() as tx:
        found, _ = await jobs.history(tx, str(orders))
    return sorted(job.args.get("kind", job.kind) for job in found)


async def test_a_gap_is_there_until_a_full_backup_is_that_began_later(database: Database, orders: UUID) -> None:
    assert await missing(database, orders) is None
    assert await told(database, orders, AGO, AGO + MINUTE)
    assert not await told(database, orders, AGO, AGO + MINUTE), "that is no news"
    for label, began, changed in (
        ("before", AGO - MINUTE, {}),
        ("amid", AGO + MINUTE, {}),
        ("incremental", AGO + 2 * MINUTE, {"kind": "incremental", "parent": "amid"}),
        ("damaged", AGO + 2 * MINUTE, {"unusable": "an object is missing"}),
        ("unreadable", AGO + 2 * MINUTE, {"good": False}),
    ):
        await backed_up(database, orders, label, began, **changed)
        assert await missing(database, orders) is not None, label
    await backed_up(database, orders, "after", AGO + 2 * MINUTE)
    assert await missing(database, orders) is None
    assert not await told(database, orders, AGO, AGO + MINUTE), "an answer of before is harmless"
    assert await missing(database, orders) is None
    assert await told(database, orders, AGO + 3 * MINUTE)
    assert await missing(database, orders) == Gap(AGO + 3 * MINUTE, AGO + 3 * MINUTE)


async def test_a_full_backup_is_ordered_while_there_is_a_gap_and_only_then(database: Database, orders: UUID) -> None:
    assert await ordered(database, orders) == []
    await told(database, orders, AGO)
    async with database.sessions.begin() as tx:
        failed = {"at": utc_now().isoformat(), "err": "the store is full", "again": None}
        (await datastores.get(tx, orders)).backup_failed = failed
    assert await ordered(database, orders) == [], "the last try is too recent"
    async with database.sessions.begin() as tx:
        past = (utc_now() - gaps.BACKED_UP_AGAIN).isoformat()
        (await datastores.get(tx, orders)).backup_failed = failed | {"at": past}
    assert await ordered(database, orders) == ["full", "verify_backups"]
    assert await ordered(database, orders) == ["full", "verify_backups"], "once"


async def test_no_backup_is_ordered_of_a_datastore_that_shall_go(database: Database, orders: UUID) -> None:
    await told(database, orders, AGO)
    async with database.sessions.begin() as tx:
        datastores.want_absent(tx, await datastores.get(tx, orders))
    assert await ordered(database, orders) == []


async def test_a_gap_of_another_branch_counts_when_that_serves_again(database: Database, orders: UUID) -> None:
    """The branch that a restore in place began goes on from before the gap, or from a backup of after it."""
    await told(database, orders, AGO)
    async with database.sessions.begin() as tx:
        datastore = await datastores.get(tx, orders)
        branches.serve(datastore, branches.begin(datastore, 0, AGO - MINUTE))
    assert await missing(database, orders) is None
    await backed_up(database, orders, "of the new branch", AGO + 2 * MINUTE, branch=1)
    await told(database, orders, AGO + 3 * MINUTE, branch=1)
    assert await missing(database, orders) == Gap(AGO + 3 * MINUTE, AGO + 3 * MINUTE)
    async with database.sessions.begin() as tx:
        branches.unserve(await datastores.get(tx, orders), 0)
    assert await missing(database, orders) == Gap(AGO, AGO), "no backup of the other branch makes up for it"
