"""Everything that a new datastore can be made of. Clients build their choices from it and match them exactly."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from ccx.cmon.engines.base import Engines
from ccx.rest import offer
from ccx.rest.deps import Context
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.settings import CloudConfig, Database, Settings

router: APIRouter = make_router(OwnerRoute, "/api/content/api/v1", "deploy wizard")


class Named(BaseModel):
    code: str
    name: str


class Topology(Named):
    promises: dict[int, str]
    """What each count of nodes gives, in words; no other can be had."""


class Vendor(Named):
    version: str
    """The default: the last of ``versions``."""
    speaks: str
    """The scheme of its URLs, which says what clients it takes."""
    versions: list[str]
    """Oldest first: existing clients take the last."""
    num_nodes: list[int]
    promises: dict[int, str]
    """What each of these counts gives, in words, in the usual topology."""
    types: list[Topology]


class RegionView(Named):
    country_code: str
    city: str


class Provider(Named):
    full_name: str
    type: str
    regions: list[RegionView]


class InstanceSize(Named):
    type: str
    cpu: int
    ram: int
    """GiB."""
    price: float


class VolumeKind(Named):
    has_iops: bool
    price: float


class VolumeSizes(BaseModel):
    min: int
    max: int
    default: int
    unit: str = "GiB"


class NetworkKind(BaseModel):
    code: str
    enabled: bool = True


class Zone(BaseModel):
    code: str


class DatabaseOffer(BaseModel):
    vendors: list[Vendor]


class CloudOffer(BaseModel):
    cloud_providers: list[Provider]


class InstanceOffer(BaseModel):
    """By cloud (and by volume type)."""

    instance_sizes: dict[str, list[InstanceSize]]
    volume_types: dict[str, list[VolumeKind]]
    volume_sizes: dict[str, dict[str, VolumeSizes]]


class NetworkOffer(BaseModel):
    """By cloud (and by region)."""

    network: dict[str, list[NetworkKind]]
    availability_zones: dict[str, dict[str, list[Zone]]]


class Wizard(BaseModel):
    database: DatabaseOffer
    cloud: CloudOffer
    instance: InstanceOffer
    network: NetworkOffer


@router.get("/deploy-wizard")
async def deploy_wizard(services: Context) -> Wizard:
    """What can be created here."""
    return wizard_of(services.settings, services.engine)


def wizard_of(settings: Settings, engines: Engines) -> Wizard:
    """The offer of these settings, of vendors that there are ``engines`` for."""
    # Existing clients write a cloud's code in lower case before they look it up.
    clouds = [cloud.model_copy(update={"code": cloud.code.lower()}) for cloud in settings.clouds]
    return Wizard(
        database=DatabaseOffer(vendors=[v for d in settings.databases if d.enabled and (v := _vendor(d, engines))]),
        cloud=CloudOffer(cloud_providers=[_provider(c) for c in clouds]),
        instance=InstanceOffer(
            instance_sizes={c.code: [InstanceSize(**i.model_dump()) for i in c.instance_types] for c in clouds},
            volume_types={
                c.code: [
                    VolumeKind(code=v.code, name=v.name, has_iops=v.has_iops, price=v.price) for v in c.volume_types
                ]
                for c in clouds
            },
            volume_sizes={
                c.code: {v.code: VolumeSizes(min=v.min, max=v.max, default=v.default) for v in c.volume_types}
                for c in clouds
            },
        ),
        network=NetworkOffer(
            network={c.code: [NetworkKind(code=n) for n in c.network_types] for c in clouds},
            availability_zones={
                c.code: {r.code: [Zone(code=z) for z in r.availability_zones] for r in c.regions} for c in clouds
            },
        ),
    )


def _vendor(database: Database, engines: Engines) -> Vendor | None:
    """None where nothing of it can be made: settings may name vendors that are not built yet."""
    made = offer.topologies(database, engines)
    types = [
        Topology(code=kind.code, name=kind.name, promises=promises)
        for kind in database.types
        if kind.code in made and (promises := offer.promises(database, made[kind.code]))
    ]
    if not types:
        return None
    usual = next((t for t in types if t.code == offer.DEFAULT_TYPES.get(database.code)), types[0])
    return Vendor(
        code=database.code,
        name=database.name,
        version=database.versions[-1],
        speaks=made[usual.code].speaks,
        versions=list(database.versions),
        num_nodes=list(usual.promises),
        promises=usual.promises,
        types=types,
    )


def _provider(cloud: CloudConfig) -> Provider:
    regions = [RegionView(code=r.code, name=r.name, country_code=r.country_code, city=r.city) for r in cloud.regions]
    return Provider(code=cloud.code, name=cloud.name, full_name=cloud.name, type=cloud.type, regions=regions)
