"""Requests lock what jobs lock in the jobs' order, so that neither has to be refused for the other."""

from __future__ import annotations

import asyncio

from sqlalchemy import text
from tests.integration.conftest import Database

from .conftest import Api, eventually


async def test_a_deletion_waits_for_the_transaction_of_a_job_and_locks_nothing_that_it_needs(
    user: Api, database: Database
) -> None:
    uuid = await user.create()
    async with database.sessions.begin() as job:
        # As a job does: its own row first, then what it works on.
        await job.execute(text("select 1 from jobs.job where key = :key for no key update"), {"key": uuid})
        deletion = asyncio.create_task(user.delete(f"/prov/api/v2/cluster/{uuid}"))
        await eventually(lambda: _somebody_waits(database))
        await job.execute(text("select 1 from stores.datastore where id = :id for update"), {"id": uuid})

    assert (await deletion).status_code == 200


async def _somebody_waits(database: Database) -> bool:
    async with database.sessions() as tx:
        return bool(await tx.scalar(text("select count(*) from pg_locks where not granted")))
