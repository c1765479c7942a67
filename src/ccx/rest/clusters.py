"""Create, change, delete: what writes the desired state. Whatever takes long is a job; the answer comes at once."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from ccx import jobs
from ccx.rest import cluster_changes, names
from ccx.rest.cluster_changes import Changes
from ccx.rest.cluster_orders import Order, place
from ccx.rest.deps import ActingFor, Context, OwnedDatastore, Transaction, check_serves
from ccx.rest.job_labels import CERTIFICATES, DEPLOY, DESTROY
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import AnyText, Done
from ccx.runner.steps import backups
from ccx.stores import datastores

router = make_router(OwnerRoute, "/api/prov/api/v2", "clusters")


class Created(BaseModel):
    """The new datastore's id, under both names that clients look for; and nothing else, which they would misread."""

    uuid: UUID
    cluster_uuid: UUID


class Rotating(BaseModel):
    job_id: UUID


@router.post("/cluster", status_code=201)
async def create_cluster(order: Order, tx: Transaction, owner: ActingFor, services: Context) -> Created:
    """Orders a datastore. Everything that can be checked is checked before anything is stored."""
    values = await place(services, tx, owner, order)
    datastore = await datastores.add(tx, owner, **values)
    args = {"datastore_id": str(datastore.id)}
    await jobs.enqueue(tx, "create_datastore", key=str(datastore.id), args=args, owner=owner, label=DEPLOY)
    return Created(uuid=datastore.id, cluster_uuid=datastore.id)


@router.patch("/cluster/{datastore_id}")
async def change_cluster(datastore: OwnedDatastore, changes: Changes, tx: Transaction, services: Context) -> Done:
    """Name, tags, notifications, maintenance window: all of it or nothing. Zero values change nothing."""
    await cluster_changes.apply(services.settings, tx, datastore, changes)
    return Done()


@router.post("/cluster/{datastore_id}/certificates", status_code=202)
async def rotate_certificates(datastore: OwnedDatastore, tx: Transaction) -> Rotating:
    """Gives all nodes new certificates of the same CA while they serve. Repeating it while it runs changes nothing."""
    await check_serves(tx, datastore)
    key = str(datastore.id)
    owner = (datastore.owner_type, datastore.owner_id)
    job_id = await jobs.enqueue(
        tx, "rotate_certificates", key=key, args={"datastore_id": key}, owner=owner, label=CERTIFICATES, dedup=True
    )
    return Rotating(job_id=job_id)


@router.delete("/cluster/{datastore_id}")
async def delete_cluster(
    datastore: OwnedDatastore, tx: Transaction, delete_backups: bool = False, confirm: AnyText = ""
) -> Done:
    """Deletes the datastore, in any state: what runs is cancelled and undone first. Repeating it changes nothing.

    Its backups stay for their retention; with ``delete_backups``, and its name in ``confirm``, they go too.
    """
    key = str(datastore.id)
    if delete_backups:
        names.check_confirmed(datastore.name, confirm)
    await jobs.hold(tx, key)
    await tx.refresh(datastore, with_for_update=True)
    if delete_backups:
        await backups.remove_soon(tx, datastore)
    recent, _ = await jobs.history(tx, key, limit=10)
    if any(job.kind == "delete_datastore" and not job.status.is_final for job in recent):
        return Done()
    datastores.want_absent(tx, datastore)
    # What a cancelled job does with its datastore depends on that: it must read it.
    await tx.flush()
    await jobs.cancel_key(tx, key, abandon=True)
    owner = (datastore.owner_type, datastore.owner_id)
    args = {"datastore_id": key}
    await jobs.enqueue(tx, "delete_datastore", key=key, args=args, owner=owner, label=DESTROY, dedup=True)
    return Done()
