"""Who is sent where while a restore in place takes over: nobody, until nothing can take it back any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.integration.conftest import Database
from tests.integration.test_datastore_names import SHAPE

from ccx.cmon.spec import ClusterView
from ccx.db import utc_now
from ccx.ids import new_id
from ccx.jobs import TransactionBody
from ccx.runner import branches
from ccx.runner.steps import takeover
from ccx.stores import datastores
from ccx.stores.models import Datastore, Status

VIEW = ClusterView(members=(), answered_by="n1g2").to_json()


@pytest.fixture
async def orders(database: Database) -> UUID:
    """One that serves, and is being restored in place."""
    async with database.sessions.begin() as tx:
        made = await datastores.add(tx, ("user", new_id()), name="orders", **SHAPE)
        datastores.set_status(tx, made, Status.STARTED)
        number = branches.begin(made, 0, utc_now())
        made.restoring = {"branch": number, "of": 0, "state": branches.PREPARING}
        return made.id


async def after(database: Database, orders: UUID, *bodies: TransactionBody) -> Datastore:
    for body in bodies:
        async with database.sessions.begin() as tx:
            await body(tx)
    async with database.sessions() as tx:
        return await datastores.get(tx, orders)


async def test_the_state_worker_leaves_it_alone_until_there_is_no_way_back(database: Database, orders: UUID) -> None:
    """It would lead applications to the restored nodes; taken back then, what they wrote there would be lost."""
    key = str(orders)
    found = await after(database, orders, takeover.switching(key), takeover.take_over(key, 1, []))
    assert (found.branch, branches.state(found), found.status) == (1, branches.SWITCHING, Status.FAILURE)
    found = await after(database, orders, takeover.serves(key, VIEW, "restored", timedelta(days=3)))
    assert (branches.state(found), found.status) == (branches.KEPT, Status.STARTED)
    assert "confirm-restore" in branches.in_words(found)


async def test_taken_back_it_is_what_it_was(database: Database, orders: UUID) -> None:
    key = str(orders)
    found = await after(
        database, orders, takeover.switching(key), takeover.take_over(key, 1, []), takeover.give_back(key, []),
        takeover.back_to(key, branches.PREPARING),
    )  # fmt: skip
    assert (found.branch, branches.state(found), found.status) == (0, branches.PREPARING, Status.STARTED)
    assert found.served == []


async def test_gone_back_to_for_good_it_serves_again_and_no_sooner(database: Database, orders: UUID) -> None:
    key = str(orders)
    kept: dict[str, Any] = {"view": VIEW, "event": "restored", "kept_for": timedelta(days=3)}
    await after(database, orders, takeover.switching(key), takeover.take_over(key, 1, []), takeover.serves(key, **kept))
    found = await after(database, orders, takeover.switching(key), takeover.return_to(key, []))
    assert (found.branch, branches.state(found), found.status) == (0, branches.SWITCHING, Status.FAILURE)
    found = await after(database, orders, takeover.serves(key, VIEW, "restore-undone"))
    assert (branches.state(found), found.status) == (branches.KEPT, Status.STARTED)
