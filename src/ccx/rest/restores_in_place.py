"""A restore under the same names: ordered, confirmed, or taken back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel

from ccx import jobs
from ccx.errors import Conflict, Invalid
from ccx.rest import capacity, offer
from ccx.rest.deps import OwnedDatastore, Transaction
from ccx.rest.job_labels import BACKUP, CONFIRM_RESTORE, RESTORE_IN_PLACE, UNDO_RESTORE
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.runner import branches, windows
from ccx.runner.services import Services
from ccx.runner.steps.in_place import hands_over
from ccx.runner.subject import Subject
from ccx.runner.targets import Plan
from ccx.stores.models import Datastore, Status

router = make_router(OwnerRoute, "/api/backup/api/v1/backups", "backups")

_RESTORABLE = (Status.STARTED, Status.DEGRADED, Status.FAILURE, Status.UNKNOWN)
_SHAPE = ("cluster_name", "cluster_size", "instance_size", "volume_size")


class Settling(BaseModel):
    job_id: UUID


@router.post("/{datastore_id}/restore/confirm", status_code=202)
async def confirm_restore(datastore: OwnedDatastore, tx: Transaction) -> Settling:
    """Removes what is kept of before the restore in place. There is no way back."""
    return await _settle(tx, datastore, "confirm_restore", CONFIRM_RESTORE)


@router.post("/{datastore_id}/restore/undo", status_code=202)
async def undo_restore(datastore: OwnedDatastore, tx: Transaction) -> Settling:
    """Goes back to what was before the restore in place, and removes what was restored."""
    return await _settle(tx, datastore, "undo_restore", UNDO_RESTORE)


async def _settle(tx: Transaction, datastore: Datastore, kind: str, label: str) -> Settling:
    await _check_free(tx, datastore)
    if branches.state(datastore) != branches.KEPT:
        raise Conflict("nothing is kept of before a restore in place", remedy="There is nothing to do")
    key, owner = str(datastore.id), (datastore.owner_type, datastore.owner_id)
    args = {"datastore_id": key}
    return Settling(job_id=await jobs.enqueue(tx, kind, key=key, args=args, owner=owner, label=label, dedup=True))


async def check(services: Services, tx: Transaction, datastore: Datastore, plan: Plan, wish: dict[str, Any]) -> None:
    """Raises for a datastore that can't be restored in place as things are. ``wish``: the request's fields."""
    for field in _SHAPE:
        if wish.get(field):
            raise Invalid(
                "in place, the datastore keeps its name and its shape",
                field=field,
                remedy="Leave it out, or restore into a new datastore",
            )
    hands_over(Subject(services, datastore))
    if datastore.status not in _RESTORABLE:
        raise Conflict(
            f"the datastore is {datastore.status.value}",
            remedy="Restore it into a new datastore: ccx backup restore DATASTORE NEW",
        )
    await _check_free(tx, datastore)
    if datastore.restoring is not None:
        raise Conflict(
            "what was before the last restore in place is still kept",
            remedy="Say which of the two stays: ccx backup confirm-restore, or ccx backup undo-restore",
        )
    windows.check_room(plan.backup, datastore.volume_size)
    # For a while, there are as many nodes again.
    cloud = offer.cloud(services.settings, datastore.cloud)
    region, instance = offer.region(cloud, datastore.region), offer.instance(cloud, datastore.instance_size)
    await capacity.check(services, cloud, region, instance, datastore.volume_size, datastore.size)


async def order(tx: Transaction, datastore: Datastore, plan: Plan) -> UUID:
    """The job, after :func:`check`."""
    key, owner = str(datastore.id), (datastore.owner_type, datastore.owner_id)
    number = branches.begin(datastore, plan.branch, plan.moment)
    datastore.restoring = {
        **plan.origin, "branch": number, "of": datastore.branch, "state": branches.PREPARING,
    }  # fmt: skip
    args = {"datastore_id": key, "branch": number, "label": BACKUP}
    return await jobs.enqueue(tx, "restore_in_place", key=key, args=args, owner=owner, label=RESTORE_IN_PLACE)


async def _check_free(tx: Transaction, datastore: Datastore) -> None:
    """Raises Conflict, with the job, while another operation runs."""
    key = str(datastore.id)
    await jobs.hold(tx, key)
    await tx.refresh(datastore, with_for_update=True)
    running = await jobs.active(tx, key)
    if running is not None:
        raise Conflict(
            f"another operation runs: {running.label}",
            remedy=f"Wait for it: ccx job follow {running.id}",
            detail={"job_id": str(running.id)},
        )
