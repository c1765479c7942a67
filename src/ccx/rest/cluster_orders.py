"""An order for a datastore: checked against what is on offer, and turned into the row that says what shall be."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.auth.identity import Owner
from ccx.cmon.engines.base import BakesSome, Engine
from ccx.errors import CcxError, Invalid
from ccx.network.mirror.sources import has_packages
from ccx.rest import capacity, names, offer
from ccx.rest.schema import AnyText, Body, Text
from ccx.runner.services import Services
from ccx.settings import CloudConfig, Database, Region, Settings, VolumeType
from ccx.stores import datastores

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Tags = Annotated[list[Annotated[Text, Field(max_length=128)]], Field(max_length=50)]


class General(Body):
    cluster_name: AnyText
    cluster_size: Count = 1
    db_vendor: Text
    db_version: Text = ""
    cluster_type: Text = ""
    tags: Tags | None = None


class Where(Body):
    cloud_provider: Text
    cloud_region: Text


class Instance(Body):
    instance_size: Text
    volume_type: Text | None = None
    volume_size: Count | None = None
    """GiB."""
    volume_iops: Count | None = None


class Network(Body):
    network_type: Text = "public"
    ha_enabled: bool | None = None
    vpc_uuid: Text | None = None
    availability_zones: Annotated[list[Text], Field(max_length=100)] | None = None


class Notifications(Body):
    enabled: bool = False
    emails: Annotated[list[Annotated[Text, Field(max_length=254)]], Field(max_length=20)] | None = None

    def row(self, field: str) -> dict[str, Any]:
        """As the stores have it. Raises Invalid for what is no address."""
        for email in self.emails or ():
            local, _, domain = email.rpartition("@")
            if not local or not domain or " " in email:
                raise Invalid(
                    f"{email!r} is no e-mail address", field=f"{field}.emails", remedy="Write name@example.com"
                )
        return {"enabled": self.enabled, "emails": self.emails or []}


class Order(Body):
    """What a new datastore shall be. Fields that are left out take the defaults that the deploy wizard shows."""

    general: General
    cloud: Where
    instance: Instance
    network: Network = Network()
    notifications: Notifications | None = None


async def place(services: Services, tx: AsyncSession, owner: Owner, order: Order) -> dict[str, Any]:
    """The columns of the datastore that is ordered. Raises Invalid, NoCapacity; nothing is stored or made.

    Until the transaction ends nobody else orders for the owner: it is within what the owner may have.
    """
    settings, general = services.settings, order.general
    names.check_datastore(general.cluster_name, "general.cluster_name")
    database = offer.vendor(settings, general.db_vendor)
    version = offer.version(database, general.db_version)
    cluster_type = offer.cluster_type(database, general.cluster_type, services.engine)
    engine = services.engine(database.code, cluster_type)
    _check_size(engine, database, general.cluster_size)
    cloud = offer.cloud(settings, order.cloud.cloud_provider)
    _check_software(engine, database, version, cloud)
    region = offer.region(cloud, order.cloud.cloud_region)
    instance = offer.instance(cloud, order.instance.instance_size)
    volume = offer.volume(cloud, order.instance.volume_type or "")
    volume_size = offer.volume_size(volume, order.instance.volume_size, "instance.volume_size")
    notifications = (order.notifications or Notifications()).row("notifications")
    values = {
        "name": general.cluster_name,
        "tags": general.tags or [],
        "vendor": database.code,
        "version": version,
        "cluster_type": cluster_type,
        "size": general.cluster_size,
        "cloud": cloud.code,
        "region": region.code,
        "zones": _zones(order.network, region, general.cluster_size),
        "instance_size": instance.code,
        "volume_type": volume.code,
        "volume_size": volume_size,
        "volume_iops": _iops(volume, order.instance.volume_iops),
        "network_type": _network_type(cloud, order.network),
        "ha_enabled": bool(order.network.ha_enabled),
        "notifications": notifications,
    }
    await capacity.check(services, cloud, region, instance, volume_size, general.cluster_size)
    await _check_allowance(settings, tx, owner)  # last: the owner's other orders wait from here on
    return values


def _check_size(engine: Engine, database: Database, size: int) -> None:
    try:
        if size not in database.num_nodes:
            raise Invalid(f"{database.name} can't have {size} nodes")
        engine.promise(size)
    except Invalid as error:
        promises = "; ".join(offer.promises(database, engine).values())
        raise Invalid(error.err, field="general.cluster_size", remedy=f"Choose one of: {promises}") from None


def _check_software(engine: Engine, database: Database, version: str, cloud: CloudConfig) -> None:
    """Refuses a version that the cloud's nodes would have no packages of."""
    if not isinstance(engine, BakesSome):
        return
    if not cloud.stock and version not in engine.baked:
        raise Invalid(
            f"no image that is made here holds {database.name} {version}", field="general.db_version",
            remedy=f"Ask your operator to have nodes install it: clouds.{cloud.code}.image=stock",
        )  # fmt: skip
    if cloud.stock and not any(has_packages(database.code, version, topology) for topology in engine.topologies):
        raise Invalid(
            f"no repository that nodes install from has {database.name} {version}", field="general.db_version",
            remedy="Choose another version",
        )  # fmt: skip


def _zones(network: Network, region: Region, size: int) -> list[str]:
    """One zone a node, in the order of the nodes; none: the cloud chooses."""
    field, zones = "network.availability_zones", network.availability_zones or []
    for zone in zones:
        if zone not in region.availability_zones:
            there_is = ", ".join(region.availability_zones) or "none: leave the field out"
            raise Invalid(f"{zone!r} is no zone of {region.code}", field=field, remedy=f"There is: {there_is}")
    if zones and len(zones) != size:
        raise Invalid(f"{len(zones)} zones for {size} nodes", field=field, remedy="Name one for each node, or none")
    return zones


def _iops(volume: VolumeType, iops: int | None) -> int:
    if iops and not volume.has_iops:
        raise Invalid(f"{volume.code} volumes have no IOPS to choose", field="instance.volume_iops", remedy="Send 0")
    return iops or 0


def _network_type(cloud: CloudConfig, network: Network) -> str:
    if network.vpc_uuid:
        raise Invalid("VPCs are not offered here", field="network.vpc_uuid", remedy="Leave it out")
    if network.network_type not in cloud.network_types:
        there_is = ", ".join(cloud.network_types)
        raise Invalid(
            f"{network.network_type!r} is not offered here",
            field="network.network_type",
            remedy=f"There is: {there_is}",
        )
    return network.network_type


async def _check_allowance(settings: Settings, tx: AsyncSession, owner: Owner) -> None:
    held = await datastores.count_alone(tx, owner)
    if held >= settings.max_datastores_per_user:
        raise CcxError(
            f"you have {held} datastores, which is the limit here",
            status=422,
            field="general",
            remedy="Delete one, or ask your operator for more (MAX_DATASTORES_PER_USER)",
        )
