"""Who may reach a datastore. Nobody may until a source is added."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.errors import Conflict
from ccx.rest.deps import Context, OwnedDatastore, Transaction
from ccx.rest.job_labels import FIREWALL
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import Body, Done, Text
from ccx.stores import firewalls
from ccx.stores.models import Datastore, Desired

router = make_router(OwnerRoute, "/api/firewall/api/v1", "firewall")


class OpenPort(BaseModel):
    port: str
    port_no: int


class RuleView(BaseModel):
    source: str
    """As it was written."""
    description: str
    ports: list[OpenPort]


class Rule(Body):
    source: Annotated[Text, Field(max_length=64)]
    """An IPv4 address, or a network without host bits."""
    description: Annotated[Text, Field(max_length=255)] | None = ""


@router.get("/firewalls/{datastore_id}")
async def list_rules(datastore: OwnedDatastore, tx: Transaction, services: Context) -> list[RuleView]:
    """The sources that are allowed, oldest first."""
    ports = [
        OpenPort(port="service", port_no=p.number)
        for p in services.engine(datastore.vendor, datastore.cluster_type).ports
        if p.clients
    ]
    return [
        RuleView(source=rule.source, description=rule.description, ports=ports)
        for rule in await firewalls.of(tx, datastore)
    ]


@router.post("/firewall/{datastore_id}", status_code=201)
async def add_rule(datastore: OwnedDatastore, rule: Rule, tx: Transaction) -> Done:
    """Allows a source; takes effect within seconds, or when the running job is done."""
    if datastore.desired is Desired.ABSENT:
        raise Conflict("this datastore is being deleted", remedy="Make a new one")
    await firewalls.add(tx, datastore, rule.source, rule.description or "")
    await _apply(tx, datastore)
    return Done()


@router.delete("/firewall/{datastore_id}")
async def remove_rule(datastore: OwnedDatastore, rule: Rule, tx: Transaction) -> Done:
    """Takes a source's permission away and cuts its connections. Only the source counts."""
    await firewalls.remove(tx, datastore, rule.source)
    await _apply(tx, datastore)
    return Done()


async def _apply(tx: AsyncSession, datastore: Datastore) -> None:
    key, owner = str(datastore.id), (datastore.owner_type, datastore.owner_id)
    args = {"datastore_id": key}
    await jobs.enqueue(tx, "apply_firewall", key=key, args=args, owner=owner, label=FIREWALL, dedup=True)
