"""What a datastore's replicas answer right after a write: what they have, or what was acknowledged."""

from __future__ import annotations

from pydantic import BaseModel

from ccx import jobs
from ccx.cmon.engines.base import HoldsReads
from ccx.errors import Conflict
from ccx.rest.deps import Caller, Context, OwnedDatastore, Transaction, check_serves
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import Body, Done
from ccx.runner.services import Services
from ccx.runner.subject import Subject
from ccx.stores import audit
from ccx.stores.models import Datastore

router = make_router(OwnerRoute, "/api/prov/api/v2", "clusters")


class Reads(BaseModel):
    current: bool
    """Reads on replicas wait until all is there that was acknowledged before."""


class ReadsWish(Body):
    current: bool


@router.get("/cluster/{datastore_id}/reads")
async def reads(datastore: OwnedDatastore, tx: Transaction, services: Context) -> Reads:
    """Whether reads on replicas may be behind what was acknowledged."""
    await check_serves(tx, datastore)
    subject, engine = _held(services, datastore)
    await tx.commit()  # nodes may take their time; no connection is held meanwhile
    return Reads(current=await engine.reads_are_current(await subject.cluster()))


@router.post("/cluster/{datastore_id}/reads", status_code=202)
async def set_reads(
    datastore: OwnedDatastore, wish: ReadsWish, tx: Transaction, caller: Caller, services: Context
) -> Done:
    """For sessions that begin from now on. A session may choose otherwise for itself."""
    await check_serves(tx, datastore)
    subject, engine = _held(services, datastore)
    token = await jobs.last_token(tx, str(datastore.id))
    audit.record(tx, caller.actor, "reads", datastore.id, current=str(wish.current).lower())
    await tx.commit()
    await engine.set_reads(services.channel, await subject.cluster(), wish.current, token)
    return Done()


def _held(services: Services, datastore: Datastore) -> tuple[Subject, HoldsReads]:
    """Raises Conflict for one whose replicas can't wait."""
    subject = Subject(services, datastore)
    if not isinstance(subject.engine, HoldsReads):
        raise Conflict(
            f"replicas of {datastore.vendor} with {datastore.cluster_type} can't wait for what was acknowledged",
            remedy="Read from the primary, by the datastore's own name, what has to be current",
        )
    return subject, subject.engine
