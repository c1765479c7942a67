"""Restores in place: begun, taken back, confirmed."""

from __future__ import annotations

from tests.integration.saga.cases.saga import Case, Saga, serves

import ccx.runner.confirm_restore
import ccx.runner.restore_in_place
import ccx.runner.undo_restore  # noqa: F401 - registers its operation, as the others do
from ccx.db import utc_now
from ccx.runner import branches
from ccx.stores import datastores, nodes
from ccx.stores.models import NodeStatus


async def want_another_time(saga: Saga) -> None:
    """As a request for a restore in place leaves it."""
    async with saga.installation.services.sessions.begin() as tx:
        datastore = await datastores.get(tx, saga.datastore_id)
        number = branches.begin(datastore, datastore.branch, utc_now())
        datastore.restoring = {"branch": number, "of": datastore.branch, "state": branches.PREPARING}
    saga.args |= {"branch": number, "label": "JOB_TYPE_BACKUP"}
    saga.notes |= {"before": {n.label for n in nodes.members(datastore)}, "branch": datastore.branch}


async def is_restored(saga: Saga) -> None:
    """The new nodes serve, and those of before are there, off."""
    await serves(saga)
    datastore = await saga.datastore()
    kept = [n for n in datastore.nodes if n.status is NodeStatus.KEPT]
    assert {n.label for n in kept} == saga.notes["before"]
    assert await saga.running() == {n.server for n in nodes.members(datastore)}
    assert branches.state(datastore) == branches.KEPT
    assert [branch for _, branch in datastore.served] == [datastore.branch]


async def is_as_before(saga: Saga) -> None:
    """Those who served do so, and nothing else is left."""
    await serves(saga)
    datastore = await saga.datastore()
    assert {n.label for n in nodes.present(datastore)} == saga.notes["before"]
    assert await saga.running() == {n.server for n in nodes.members(datastore)}
    assert (datastore.restoring, datastore.branch) == (None, saga.notes["branch"])


async def restore(saga: Saga) -> None:
    await want_another_time(saga)
    await saga.done("restore_in_place", **{name: saga.args.pop(name) for name in ("branch", "label")})
    await is_restored(saga)


async def is_confirmed(saga: Saga) -> None:
    await serves(saga)
    datastore = await saga.datastore()
    assert nodes.present(datastore) == nodes.members(datastore)
    assert (datastore.restoring, datastore.branch) == (None, 1)


CASES = (
    Case("restore_in_place", 2, True, want_another_time, is_restored, is_as_before, slow=True),
    Case("undo_restore", 2, True, restore, is_as_before, is_restored, slow=True),
    Case("confirm_restore", 1, True, restore, is_confirmed, is_restored, slow=True),
)
