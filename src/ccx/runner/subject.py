"""What an operation works on: a datastore as the stores have it, and everything else that is derived from that."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import pki
from ccx.clouds.base import Cloud, Tags
from ccx.cmon.engines.base import Engine
from ccx.cmon.spec import ClusterSecrets, ClusterSpec, NodeSpec
from ccx.errors import Invalid, Transient
from ccx.runner.branches import archive_name
from ccx.runner.repositories import cloud_of, origin, repository
from ccx.runner.services import Services
from ccx.settings import InstanceType
from ccx.stores import datastores, nodes
from ccx.stores.models import Datastore, Node


def datastore_scope(datastore_id: UUID) -> str:
    """Where the vault keeps a datastore's secrets."""
    return f"datastore:{datastore_id}"


def node_scope(node_id: UUID) -> str:
    """Where the vault keeps a node's secrets."""
    return f"node:{node_id}"


@dataclass(frozen=True)
class Subject:
    """A datastore, with the cloud and the engine that it lives on."""

    services: Services
    datastore: Datastore

    @classmethod
    async def load(cls, services: Services, datastore_id: UUID | str) -> Subject:
        """As the stores have it now."""
        async with services.sessions() as tx:
            return cls(services, await datastores.get(tx, UUID(str(datastore_id))))

    @property
    def cloud(self) -> Cloud:
        return self.services.clouds[self.datastore.cloud]

    @property
    def engine(self) -> Engine:
        return self.services.engine(self.datastore.vendor, self.datastore.cluster_type)

    @property
    def instance_type(self) -> InstanceType:
        code, sizes = self.datastore.instance_size, cloud_of(self.services, self.datastore).instance_types
        if (found := next((one for one in sizes if one.code == code), None)) is None:
            raise Invalid(f"the size {code} is no longer there", remedy="Put it back into the settings")
        return found

    @property
    def size_parameters(self) -> dict[str, str] | None:
        """What a node of its size is told because of that, by the server's own names; None for a size that is gone."""
        cloud = self.services.settings.cloud(self.datastore.cloud)
        sizes = cloud.instance_types if cloud else ()
        size = next((one for one in sizes if one.code == self.datastore.instance_size), None)
        return self.engine.parameters(size.ram * 1024, size.cpu) if size else None

    @property
    def image(self) -> str:
        """What its nodes start from, as the cloud is set now: ``stock``, or what the engine has its packages in."""
        return "stock" if cloud_of(self.services, self.datastore).stock else self.engine.image

    @property
    def firewall_name(self) -> str:
        return f"ccx-{self.services.settings.instance}-{self.datastore.short_id}"

    @property
    def primary_name(self) -> str:
        return f"{self.datastore.short_id}.{self.services.settings.user_domain}"

    @property
    def replicas_name(self) -> str:
        return f"ro.{self.datastore.short_id}.{self.services.settings.user_domain}"

    def tags(self, token: int) -> Tags:
        """What the cloud's resources carry when a job with this claim token makes or changes them."""
        owner = f"{self.datastore.owner_type}:{self.datastore.owner_id}"
        return Tags(self.services.settings.instance, self.datastore.short_id, token, owner)

    def node(self, node_id: UUID | str) -> Node:
        return next(n for n in self.datastore.nodes if n.id == UUID(str(node_id)))

    async def cluster(self, members: list[Node] | None = None) -> ClusterSpec:
        """The cluster as engines see it, its secrets opened; of these members, or of the present ones."""
        ds = self.datastore
        members = nodes.members(ds) if members is None else members
        branch = members[0].branch if members else ds.branch
        async with self.services.sessions() as tx:
            secrets = await self.secrets(tx, members)
            backup = await repository(tx, self.services, ds)
            made_from = await origin(tx, self.services, ds, branch)
        return ClusterSpec(
            id=str(ds.id),
            short_id=ds.short_id,
            vendor=ds.vendor,
            version=ds.version,
            cluster_type=ds.cluster_type,
            nodes=tuple(node_spec(n) for n in members),
            primary_name=self.primary_name,
            replicas_name=self.replicas_name,
            memory_mib=self.instance_type.ram * 1024,
            cpus=self.instance_type.cpu,
            admin_user=ds.admin_user,
            admin_database=ds.admin_database,
            # Who may come is the firewall's to say, and it can change at any time without a restart.
            client_sources=("0.0.0.0/0",),
            secrets=secrets,
            backup=backup,
            origin=made_from,
            branch=branch,
            archive_name=archive_name(ds.short_id, branch),
        )

    async def secrets(self, tx: AsyncSession, members: list[Node]) -> ClusterSecrets:
        """The cluster's passwords and keys, opened. Raises Transient for a member that is gone meanwhile."""
        vault = self.services.vault
        kept = await vault.get_all(tx, datastore_scope(self.datastore.id))
        pairs = {}
        for node in members:
            own = await vault.get_all(tx, node_scope(node.id))
            if "tls.key" not in own:
                raise Transient(f"{node.label} was replaced just now, since its datastore was read")
            pairs[node.label] = pki.KeyPair(own["tls.certificate"], own["tls.key"])
        return ClusterSecrets(
            superuser=kept["superuser"],
            replication=kept["replication"],
            rewind=kept["rewind"],
            admin=kept["admin"],
            ca=kept["ca.certificate"],
            nodes=pairs,
            control=pki.KeyPair(kept["control.certificate"], kept["control.key"]),
        )


def node_spec(node: Node) -> NodeSpec:
    """The node as engines and the node channel see it. It has its address and host key already."""
    assert node.address is not None
    assert node.host_key is not None
    return NodeSpec(str(node.id), node.label, node.hostname, node.address, node.host_key)
