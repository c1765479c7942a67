"""Requests lock what jobs lock in the jobs' order, so that neither has to be refused for the other."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.integration.conftest import Database

from ccx.runner.services import Services
from ccx.runner.steps import reserve

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


@pytest.mark.parametrize("verb", ["ready", "failed"])
async def test_a_node_that_phones_home_waits_for_the_transaction_of_a_job_and_locks_nothing_that_it_needs(
    user: Api, anonymous: Api, services: Services, database: Database, verb: str
) -> None:
    uuid = await user.create()
    async with services.sessions.begin() as tx:
        node = await reserve.node(tx, services, UUID(uuid), 1)
        token = await services.vault.get(tx, f"node:{node.id}", "enrolment_token")
        await tx.execute(text("update jobs.job set status = 'running' where key = :key"), {"key": uuid})
    async with database.sessions.begin() as job:
        await job.execute(text("select 1 from jobs.job where key = :key for no key update"), {"key": uuid})
        report = asyncio.create_task(anonymous.post(f"/node/v1/{verb}", {"token": token}))
        await eventually(lambda: _somebody_waits(database))
        await job.execute(text("select 1 from stores.node where id = :id for update"), {"id": node.id})

    assert (await report).status_code == 200


async def _somebody_waits(database: Database) -> bool:
    async with database.sessions() as tx:
        return bool(await tx.scalar(text("select count(*) from pg_locks where not granted")))
