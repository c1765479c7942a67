"""How to connect: everything that a connection string with verified TLS needs. Ours; other clients compute less."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from ccx.cmon.spec import ClusterView, Role
from ccx.errors import Conflict, NotFound
from ccx.rest.deps import ActingFor, Caller, Context, OwnedDatastore, Transaction
from ccx.rest.nodes import client_port
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.runner.subject import Subject, datastore_scope
from ccx.stores import nodes
from ccx.stores.models import Node

router = make_router(OwnerRoute, "/api/deployment/v2", "connection")


class Host(BaseModel):
    host: str
    """In its certificate."""
    address: str
    label: str
    role: str
    """``primary``, ``replica`` or ``unknown``, as the cluster itself last reported."""


class Connection(BaseModel):
    uuid: UUID
    speaks: str
    """``postgresql`` or ``mysql``: what clients have to speak; the scheme of its URLs."""
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
    observed = ClusterView.from_json(datastore.observed) if datastore.observed else None
    roles = {member.label: member.role for member in observed.members} if observed else {}
    return Connection(
        uuid=datastore.id,
        speaks=subject.engine.speaks,
        user=datastore.admin_user,
        password=kept["admin"],
        database=datastore.admin_database,
        port=client_port(subject.engine),
        primary=subject.primary_name,
        replicas=subject.replicas_name,
        nodes=[_host(node, roles.get(node.label, Role.UNKNOWN)) for node in members],
        ca=kept["ca.certificate"],
    )


def _host(node: Node, role: Role) -> Host:
    return Host(
        host=node.hostname, address=node.public_address or node.address or "", label=node.label, role=role.value
    )
