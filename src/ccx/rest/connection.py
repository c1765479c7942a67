"""How to connect: everything that a connection string with verified TLS needs. Ours; other clients compute less."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from ccx.errors import Conflict, NotFound
from ccx.rest.deps import ActingFor, Caller, Context, OwnedDatastore, Transaction
from ccx.rest.nodes import client_port
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.runner.subject import Subject, datastore_scope
from ccx.stores import nodes

router = make_router(OwnerRoute, "/api/deployment/v2", "connection")


class Host(BaseModel):
    host: str
    """In its certificate."""
    address: str
    label: str


class Connection(BaseModel):
    uuid: UUID
    user: str
    password: str
    database: str
    port: int
    primary: str
    """Name of whichever node is the primary now."""
    replicas: str
    nodes: list[Host]
    ca: str
    """PEM: the datastore's own CA, which every node's certificate is signed by."""


@router.get("/data-stores/{datastore_id}/connection")
async def get_connection(
    datastore: OwnedDatastore, tx: Transaction, caller: Caller, owner: ActingFor, services: Context
) -> Connection:
    """Names, addresses, CA, user and password. For the owner only; 409 while there is nothing to connect to."""
    if not caller.owns((datastore.owner_type, datastore.owner_id)):
        raise NotFound("passwords are shown to a datastore's owner only", remedy="Ask its owner")
    kept = await services.vault.get_all(tx, datastore_scope(datastore.id))
    members = nodes.members(datastore)
    if not members or "admin" not in kept or "ca.certificate" not in kept:
        raise Conflict(
            "there is nothing to connect to yet", remedy="Wait until the datastore is STARTED: ccx job follow"
        )
    subject = Subject(services, datastore)
    return Connection(
        uuid=datastore.id,
        user=datastore.admin_user,
        password=kept["admin"],
        database=datastore.admin_database,
        port=client_port(subject.engine),
        primary=subject.primary_name,
        replicas=subject.replicas_name,
        nodes=[Host(host=n.hostname, address=n.public_address or n.address or "", label=n.label) for n in members],
        ca=kept["ca.certificate"],
    )
