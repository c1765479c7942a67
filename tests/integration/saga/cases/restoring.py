"""Restores into new datastores, and drills: throw-away ones that prove a backup."""

from __future__ import annotations

from uuid import UUID

from tests.integration.saga.cases.backing_up import known
from tests.integration.saga.cases.saga import Case, Saga, gone, never_was, new_saga, serves

import ccx.runner.drill_datastore
import ccx.runner.order_drill
import ccx.runner.restore_datastore  # noqa: F401 - registers its operation, as the others do
from ccx import jobs
from ccx.cmon.backup import Kind
from ccx.runner import branches, repositories
from ccx.stores import datastores
from ccx.stores.models import Desired, Status


async def have_a_backup_of_another(saga: Saga) -> None:
    """A datastore of its own, backed up: what this one is made from."""
    source = await new_saga(saga.installation, 1)
    await source.done("create_datastore")
    await source.done("backup_datastore", kind=Kind.FULL.value)
    [backup] = await known(source)
    async with saga.installation.services.sessions.begin() as tx:
        (await datastores.get(tx, saga.datastore_id)).origin = {
            "datastore": str(source.datastore_id), "backup": backup.label, "to": repositories.AT_ONCE,
            "path": branches.path(await source.datastore(), backup.branch, backup.branch),
        }  # fmt: skip
    saga.notes["source"] = source


async def want_a_copy(saga: Saga) -> None:
    await have_a_backup_of_another(saga)
    saga.args["label"] = "JOB_TYPE_BACKUP"


async def is_a_copy(saga: Saga) -> None:
    await serves(saga)
    assert await _origins_keys(saga) == {}


async def is_no_copy(saga: Saga) -> None:
    await never_was(saga)
    assert await _origins_keys(saga) == {}


async def _origins_keys(saga: Saga) -> dict[str, str]:
    services = saga.installation.services
    async with services.sessions() as tx:
        return await services.vault.get_all(tx, repositories.origin_scope(saga.datastore_id))


async def want_a_drill(saga: Saga) -> None:
    await have_a_backup_of_another(saga)
    async with saga.installation.services.sessions.begin() as tx:
        datastore = await datastores.get(tx, saga.datastore_id)
        datastore.desired, datastore.status = Desired.ABSENT, Status.DELETED


async def is_proved(saga: Saga) -> None:
    await _is_drilled(saga, proved=True)


async def is_not_proved(saga: Saga) -> None:
    await _is_drilled(saga, proved=False)


async def _is_drilled(saga: Saga, *, proved: bool) -> None:
    await gone(saga, Status.DELETED)
    assert await _origins_keys(saga) == {}
    [backup] = await known(saga.notes["source"])
    assert backup.drill is not None
    assert backup.drill["proved"] is proved


async def be_backed_up(saga: Saga) -> None:
    await saga.done("backup_datastore", kind=Kind.FULL.value)


async def has_a_drill_ordered(saga: Saga) -> None:
    """One, however often it was asked for it."""
    await serves(saga)
    [home] = await _drills(saga)
    async with saga.installation.services.sessions() as tx:
        [drill], _ = await jobs.history(tx, str(home))
        ordered = await datastores.get(tx, home)
    assert drill.kind == "drill_datastore"
    assert ordered.origin is not None
    assert ordered.origin["backup"] in [one.label for one in await known(saga)]


async def has_no_drill_ordered(saga: Saga) -> None:
    await serves(saga)
    assert await _drills(saga) == []


async def _drills(saga: Saga) -> list[UUID]:
    async with saga.installation.services.sessions() as tx:
        return list(await datastores.made_from(tx, saga.datastore_id))


CASES = (
    Case("restore_datastore", 1, False, want_a_copy, is_a_copy, is_no_copy, slow=True),
    Case("drill_datastore", 1, False, want_a_drill, is_proved, is_not_proved, slow=True),
    Case("order_drill", 1, True, be_backed_up, has_a_drill_ordered, has_no_drill_ordered, slow=True),
)
