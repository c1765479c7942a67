"""A datastore's nodes."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from ccx.cmon.engines.base import Engine
from ccx.cmon.spec import ClusterView, MemberView, Role
from ccx.rest.deps import Context, OwnedDatastore
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import When
from ccx.stores import nodes
from ccx.stores.models import Datastore, Node, NodeStatus

router = make_router(OwnerRoute, "/api/deployment/v2", "nodes")


class RegionCode(BaseModel):
    code: str


class NodeView(BaseModel):
    host_uuid: UUID
    hostname: str
    label: str
    role: str
    """``primary``, ``replica`` or ``unknown``, as the cluster itself last reported."""
    host_status: str
    """``CREATING``, ``STARTED``, ``FAILURE``, ``LOST`` or ``UNKNOWN``."""
    synchronous: bool
    lag_bytes: int | None
    errant: list[str]
    """Files on its volume with what only it had, kept apart when it was made anew out of the primary's data."""
    readonly: bool
    port: int
    private_ip: str | None
    public_ip: str | None
    host_az: str
    region: RegionCode
    cloud_provider: str
    instance_type: str
    disk_type: str
    disk_size: int
    created_at: When


class Nodes(BaseModel):
    uuid: UUID
    database_nodes: list[NodeView]


@router.get("/data-stores/{datastore_id}/nodes")
async def list_nodes(datastore: OwnedDatastore, services: Context) -> Nodes:
    """The nodes that the datastore has now; replaced ones are left out."""
    observed = ClusterView.from_json(datastore.observed) if datastore.observed else None
    members = {member.label: member for member in observed.members} if observed else {}
    port = client_port(services.engine(datastore.vendor, datastore.cluster_type))
    views = [_view(datastore, node, members.get(node.label), port) for node in nodes.own(datastore)]
    return Nodes(uuid=datastore.id, database_nodes=views)


def client_port(engine: Engine) -> int:
    """Where clients connect."""
    return next(port.number for port in engine.ports if port.clients)


def _view(datastore: Datastore, node: Node, member: MemberView | None, port: int) -> NodeView:
    role = member.role if member else Role.UNKNOWN
    return NodeView(
        host_uuid=node.id,
        hostname=node.hostname,
        label=node.label,
        role=role.value,
        host_status=_status(node, member),
        synchronous=member.synchronous if member else False,
        lag_bytes=member.lag_bytes if member else None,
        errant=list(member.errant) if member else [],
        readonly=role is not Role.PRIMARY,
        port=port,
        private_ip=node.address,
        public_ip=node.public_address,
        host_az=node.zone,
        region=RegionCode(code=datastore.region),
        cloud_provider=datastore.cloud,
        instance_type=datastore.instance_size,
        disk_type=datastore.volume_type,
        disk_size=datastore.volume_size,
        created_at=node.created_at,
    )


def _status(node: Node, member: MemberView | None) -> str:
    if node.status is NodeStatus.RESERVED:
        return "CREATING"
    if node.status is NodeStatus.LOST:
        return "LOST"
    if member is None:
        return "UNKNOWN"
    return "STARTED" if member.healthy else "FAILURE"
