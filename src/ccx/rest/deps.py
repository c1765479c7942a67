"""What routes ask for by type."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.auth import Identity
from ccx.auth.identity import Owner
from ccx.errors import Conflict, NotFound
from ccx.rest.context import context_of
from ccx.runner.services import Services
from ccx.settings import Settings
from ccx.stores import audit, datastores
from ccx.stores.models import Datastore, Status


def _services(request: Request) -> Services:
    return context_of(request).services


def _settings(request: Request) -> Settings:
    return context_of(request).services.settings


def _tx(request: Request) -> AsyncSession:
    tx = request.state.tx
    assert isinstance(tx, AsyncSession)
    return tx


def _identity(request: Request) -> Identity:
    identity = request.state.identity
    assert isinstance(identity, Identity)
    return identity


def _owner(request: Request) -> Owner:
    owner: Owner = request.state.owner
    return owner


Context = Annotated[Services, Depends(_services)]
"""The floors below."""
Config = Annotated[Settings, Depends(_settings)]
Transaction = Annotated[AsyncSession, Depends(_tx)]
"""The request's. The kind of route commits it."""
Caller = Annotated[Identity, Depends(_identity)]
ActingFor = Annotated[Owner, Depends(_owner)]
"""Whom the caller acts for: the default scope, or ``CCX-Owner``."""


async def any_datastore(
    datastore_id: UUID, request: Request, tx: Transaction, caller: Caller, owner: ActingFor
) -> Datastore:
    """The owner's datastore, deleted ones too; somebody else's is absent. Operators may read every one: audited."""
    if not caller.is_operator or request.method != "GET":
        return await datastores.get(tx, datastore_id, owner)
    datastore = await datastores.get(tx, datastore_id)
    if not caller.owns((datastore.owner_type, datastore.owner_id)):
        audit.record(tx, caller.actor, f"GET {request.url.path}", datastore.id)
    return datastore


AnyDatastore = Annotated[Datastore, Depends(any_datastore)]


async def _owned_datastore(datastore: AnyDatastore) -> Datastore:
    if datastore.status is Status.DELETED:
        raise NotFound(f"the datastore {datastore.id} was deleted", remedy="List yours: ccx datastore list")
    return datastore


OwnedDatastore = Annotated[Datastore, Depends(_owned_datastore)]
"""As :data:`AnyDatastore`, and not deleted."""


async def check_serves(
    tx: AsyncSession, datastore: Datastore, remedy: str = "Wait until it is STARTED: ccx datastore show"
) -> None:
    """Raises Conflict, with the job that runs, for a datastore that is neither STARTED nor DEGRADED."""
    if datastore.status in (Status.STARTED, Status.DEGRADED):
        return
    running = await jobs.active(tx, str(datastore.id))
    detail = {"job_id": str(running.id)} if running else None
    raise Conflict(f"the datastore is {datastore.status.value}", remedy=remedy, detail=detail)


class Page:
    """``limit`` and ``offset``."""

    def __init__(
        self, limit: Annotated[int, Query(ge=1, le=100)] = 50, offset: Annotated[int, Query(ge=0, le=2**31)] = 0
    ) -> None:
        self.limit = limit
        self.offset = offset


Paging = Annotated[Page, Depends()]
