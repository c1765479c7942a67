"""For operators: everybody's datastores, and what exists on the clouds."""

from __future__ import annotations

import asyncio
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.clouds.base import Resource, ResourceKind
from ccx.rest.data_stores import DatastoreView, Pagination, view_of
from ccx.rest.deps import Caller, Context, Paging, Transaction
from ccx.rest.routing import OperatorRoute
from ccx.rest.routing import router as make_router
from ccx.stores import audit, datastores, nodes
from ccx.stores.models import Datastore

router = make_router(OperatorRoute, "/api/admin", "operators")


class OwnedView(DatastoreView):
    owner: str
    """``user:<uuid>`` or ``org:<uuid>``."""


class AllDatastores(BaseModel):
    pagination: Pagination
    data_stores: list[OwnedView]


class ResourceView(BaseModel):
    cloud: str
    kind: ResourceKind
    name: str
    detail: str
    owner: str
    datastore_uuid: UUID | None
    datastore_name: str | None
    orphaned: bool
    """It is on the cloud, and nothing here knows what for."""


class Inventory(BaseModel):
    resources: list[ResourceView]
    orphaned: int


@router.get("/datastores")
async def list_all_datastores(tx: Transaction, caller: Caller, services: Context, page: Paging) -> AllDatastores:
    """The datastores of all owners, oldest first. Audited."""
    audit.record(tx, caller.actor, "list datastores of all owners")
    found, total = await datastores.of(tx, None, limit=page.limit, offset=page.offset)
    views = [
        OwnedView(**(await view_of(tx, services, ds)).model_dump(), owner=f"{ds.owner_type}:{ds.owner_id}")
        for ds in found
    ]
    return AllDatastores(pagination=Pagination(limit=page.limit, offset=page.offset, total=total), data_stores=views)


@router.get("/cloud/inventory")
async def cloud_inventory(tx: Transaction, caller: Caller, services: Context) -> Inventory:
    """Everything that this installation has on its clouds: whose it is, and what is orphaned. Audited."""
    audit.record(tx, caller.actor, "list cloud inventory")
    # Clouds may take their time; no connection is held meanwhile.
    await tx.commit()
    # The clouds first: what appears on one while the stores are read would look like an orphan the other way round.
    codes = sorted(services.clouds)
    found = await asyncio.gather(*(services.clouds[code].inventory(services.settings.instance) for code in codes))
    short_ids = {resource.tags.datastore for resources in found for resource in resources}
    rows = await tx.scalars(select(Datastore).where(Datastore.short_id.in_(short_ids)))
    known = {datastore.short_id: datastore for datastore in rows}
    views = [
        await _view(tx, code, resource, known.get(resource.tags.datastore))
        for code, resources in zip(codes, found, strict=True)
        for resource in resources
    ]
    return Inventory(resources=views, orphaned=sum(view.orphaned for view in views))


async def _view(tx: AsyncSession, cloud: str, resource: Resource, datastore: Datastore | None) -> ResourceView:
    return ResourceView(
        cloud=cloud,
        kind=resource.kind,
        name=resource.name,
        detail=resource.detail,
        owner=f"{datastore.owner_type}:{datastore.owner_id}" if datastore else resource.tags.owner,
        datastore_uuid=datastore.id if datastore else None,
        datastore_name=datastore.name if datastore else None,
        orphaned=datastore is None or await _is_orphan(tx, resource, datastore),
    )


async def _is_orphan(tx: AsyncSession, resource: Resource, datastore: Datastore) -> bool:
    """Whether no job is about to remove it and the datastore has no use for it."""
    if await jobs.active(tx, str(datastore.id)) is not None:
        return False
    if datastore.is_gone:
        return True
    present = nodes.present(datastore)
    match resource.kind:
        case ResourceKind.SERVER:
            return resource.name not in (node.server for node in present)
        case ResourceKind.VOLUME:
            return resource.name not in (node.volume for node in present)
        case _:
            return False
