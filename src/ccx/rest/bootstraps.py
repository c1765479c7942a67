"""A cluster all of whose nodes were lost, and that can't tell by itself whether it would lose something."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.cmon.engines.base import Bootstraps, Remains
from ccx.db import utc_now
from ccx.errors import Conflict, Invalid
from ccx.rest.deps import Caller, Context, OwnedDatastore, Transaction
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import AnyText, Body, Done, Text
from ccx.runner.services import Services
from ccx.runner.subject import Subject
from ccx.stores import audit
from ccx.stores.models import Datastore, Status

router = make_router(OwnerRoute, "/api/prov/api/v2", "clusters")

_DECIDED, _REFUSED = "bootstrap", "bootstrap refused"
_HOLDS = timedelta(minutes=2)
"""A decision, before there can be another one: by then the chosen node serves, or says why it does not."""
_BUILT = (Status.STARTED, Status.DEGRADED, Status.FAILURE, Status.UNKNOWN)


class RemainsView(BaseModel):
    node: str
    answers: bool
    serves: bool
    """It belongs to a group with the majority."""
    history: str
    """Which one its data belong to; empty: it has none."""
    position: int
    """How far they go in it; -1: nowhere."""
    last_group: list[str]
    """The nodes that it was together with last."""
    note: str
    """Why it waits."""

    @classmethod
    def of(cls, one: Remains) -> Self:
        return cls(
            node=one.label, answers=one.answers, serves=one.serves, history=one.history, position=one.position,
            last_group=list(one.last_group), note=one.note,
        )  # fmt: skip


class Decision(Body):
    node: Text
    """Whose data everybody goes on with."""
    confirm: AnyText = ""
    """The datastore's name: what the other nodes have besides is given up."""


@router.get("/cluster/{datastore_id}/bootstrap")
async def remains(datastore: OwnedDatastore, tx: Transaction, services: Context) -> list[RemainsView]:
    """What each node has, by its own word: what a decision would go by."""
    subject, engine = _decided(services, datastore)
    await tx.commit()  # nodes may take their time; no connection is held meanwhile
    return [RemainsView.of(one) for one in await engine.remains(await subject.cluster())]


@router.post("/cluster/{datastore_id}/bootstrap", status_code=202)
async def bootstrap(
    datastore: OwnedDatastore, decision: Decision, tx: Transaction, caller: Caller, services: Context
) -> Done:
    """Has the cluster go on with that node's data, where it would wait for a lost one else. There is no way back.

    Of several decisions at a time one is taken.
    """
    subject, engine = _decided(services, datastore)
    token, confirmed = await jobs.last_token(tx, str(datastore.id)), decision.confirm == datastore.name
    if confirmed:
        await _check_undecided(tx, datastore)
        audit.record(tx, caller.actor, _DECIDED, datastore.id, node=decision.node)
    await tx.commit()
    cluster = await subject.cluster()
    if not confirmed:
        known = "; ".join(one.in_words() for one in await engine.remains(cluster))
        raise Invalid(
            f"what only other nodes than {decision.node} have would be given up: {known}",
            field="confirm",
            remedy="Wait for the nodes that are missing, or give the datastore's name",
        )
    try:
        await engine.bootstrap(services.channel, cluster, decision.node, token)
    except (Conflict, Invalid):  # nobody was told to begin
        async with services.sessions.begin() as after:
            audit.record(after, caller.actor, _REFUSED, datastore.id, node=decision.node)
        raise
    return Done()


async def _check_undecided(tx: AsyncSession, datastore: Datastore) -> None:
    """Raises Conflict where somebody has just decided; others who ask so wait until the transaction ends."""
    await tx.refresh(datastore, with_for_update=True)
    decided = await audit.last(tx, datastore.id, (_DECIDED, _REFUSED))
    if decided is None or decided.action == _REFUSED or (ago := utc_now() - decided.at) >= _HOLDS:
        return
    raise Conflict(
        f"{decided.detail['node']} was chosen {ago.total_seconds():.0f} s ago, and may be about to begin",
        field="node",
        remedy="See whether it serves: ccx datastore bootstrap DATASTORE."
        f" If not, decide again in {(_HOLDS - ago).total_seconds():.0f} s",
    )


def _decided(services: Services, datastore: Datastore) -> tuple[Subject, Bootstraps]:
    """Raises Conflict for one about which nobody ever has to decide, or not now."""
    subject = Subject(services, datastore)
    if datastore.status not in _BUILT:
        raise Conflict(
            f"the datastore is {datastore.status.value}", remedy="Wait until it is there: ccx datastore show"
        )
    if not isinstance(subject.engine, Bootstraps):
        raise Conflict(
            f"{datastore.vendor} with {datastore.cluster_type} goes on by itself, or not at all",
            remedy="See what it waits for: ccx datastore show",
        )
    return subject, subject.engine
