"""Reading datastores. Types are exact: some clients fail, or plan to recreate a datastore, over a wrong one."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.auth import Identity
from ccx.errors import NotFound
from ccx.rest import job_views
from ccx.rest.backup_proof import ProofView, proof_of
from ccx.rest.deps import ActingFor, Caller, Context, OwnedDatastore, Paging, Transaction
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import When
from ccx.runner import branches
from ccx.runner.services import Services
from ccx.runner.subject import Subject, datastore_scope
from ccx.settings import Settings
from ccx.stores import datastores
from ccx.stores.models import Datastore, Status

router = make_router(OwnerRoute, "/api/deployment/v3", "data stores")


class RegionView(BaseModel):
    code: str
    name: str


class NotificationsView(BaseModel):
    enabled: bool
    emails: list[str]


class MaintenanceView(BaseModel):
    day_of_week: int
    start_hour: int
    end_hour: int


class CurrentJob(BaseModel):
    command: str
    status: str
    progress: int
    job_id: UUID


class Account(BaseModel):
    """The datastore's first user."""

    database_username: str
    database_password: str
    database_host: str
    database_database: str
    database_privileges: str = "ALL"


class DatastoreView(BaseModel):
    """A datastore. Ids and versions are text, sizes whole numbers, times RFC 3339 with an offset."""

    uuid: UUID
    cluster_name: str
    cluster_status: Status
    cluster_status_text: str
    """Why it is not STARTED; and of one that is restored in place, what becomes of the data of before."""
    cluster_type: str
    cluster_type_name: str
    cluster_size: int
    database_vendor: str
    database_version: str
    database_endpoint: str
    primary_url: str
    """A bare host name, once there is something behind it."""
    replica_url: str
    cloud_provider: str
    region: RegionView
    instance_size: str
    disk_size: int
    """GiB."""
    disk_type: str
    iops: int | None
    network_type: str
    ssl_enabled: bool
    high_availability: bool
    operable: bool
    not_operable_reason: str
    tags: list[str]
    azs: list[str]
    vpc: None
    is_deploying: bool
    deploy_progress: int
    """Percent."""
    current_job: CurrentJob | None
    parameter_group_id: str
    maintenance_settings: MaintenanceView | None
    notifications: NotificationsView
    created_at: When
    updated_at: When
    backup_proof: ProofView | None = None
    """Whether it could be restored, how much would be lost; in the single read only."""
    size_parameters: dict[str, str] | None = None
    """What the size of its nodes comes to, by the server's own names; in the single read only."""
    db_account: Account | None
    """In the single read of its owner only."""


class Pagination(BaseModel):
    limit: int
    offset: int
    total: int


class Datastores(BaseModel):
    """A page, under the names that all clients look for."""

    pagination: Pagination
    total: int
    data_stores: list[DatastoreView]
    datastores: list[DatastoreView]


@router.get("/data-stores")
async def list_data_stores(tx: Transaction, owner: ActingFor, services: Context, page: Paging) -> Datastores:
    """The owner's datastores, oldest first; those that are gone are left out. Passwords aren't in lists."""
    found, total = await datastores.of(tx, owner, limit=page.limit, offset=page.offset)
    views = [await view_of(tx, services, datastore) for datastore in found]
    pagination = Pagination(limit=page.limit, offset=page.offset, total=total)
    return Datastores(pagination=pagination, total=total, data_stores=views, datastores=views)


@router.get("/data-stores/{datastore_id}")
async def get_data_store(
    datastore: OwnedDatastore, tx: Transaction, caller: Caller, services: Context
) -> DatastoreView:
    """One datastore, with its first user's password if the caller owns it."""
    view = await view_of(tx, services, datastore)
    view.backup_proof = await proof_of(tx, datastore)
    view.size_parameters = Subject(services, datastore).size_parameters
    view.db_account = await _account(tx, services, caller, datastore) if view.primary_url else None
    return view


async def view_of(tx: AsyncSession, services: Services, datastore: Datastore) -> DatastoreView:
    """The datastore as all clients read it, without its password."""
    deploying = datastore.status is Status.CREATING
    reachable = datastore.status in (Status.STARTED, Status.DEGRADED, Status.FAILURE, Status.UNKNOWN)
    job = await jobs.active(tx, str(datastore.id))
    steps = await jobs.steps(tx, job.id) if job else []
    progress = job_views.percent(job, steps, datastore.size) if job else 0
    why = [datastore.status_text, branches.in_words(datastore)]
    if datastore.status in (Status.CREATING, Status.DELETING):
        why.append(job_views.waits_for(steps))
    subject = Subject(services, datastore)
    operable = datastore.status in (Status.STARTED, Status.DEGRADED)
    return DatastoreView(
        uuid=datastore.id,
        cluster_name=datastore.name,
        cluster_status=datastore.status,
        cluster_status_text="; ".join(filter(None, why)),
        cluster_type=datastore.cluster_type,
        cluster_type_name=_type_name(services.settings, datastore),
        cluster_size=datastore.size,
        database_vendor=datastore.vendor,
        database_version=datastore.version,
        database_endpoint="",
        primary_url=subject.primary_name if reachable else "",
        replica_url=subject.replicas_name if reachable and datastore.size > 1 else "",
        cloud_provider=datastore.cloud,
        region=_region(services.settings, datastore),
        instance_size=datastore.instance_size,
        disk_size=datastore.volume_size,
        disk_type=datastore.volume_type,
        iops=datastore.volume_iops or None,
        network_type=datastore.network_type,
        ssl_enabled=True,
        high_availability=datastore.ha_enabled,
        operable=operable,
        not_operable_reason="" if operable else datastore.status_text,
        tags=datastore.tags,
        azs=datastore.zones,
        vpc=None,
        is_deploying=deploying,
        deploy_progress=progress if deploying else 100,
        current_job=CurrentJob(command=job.kind, status=job.status.value, progress=progress, job_id=job.id)
        if job
        else None,
        parameter_group_id="",
        maintenance_settings=MaintenanceView(**datastore.maintenance) if datastore.maintenance else None,
        notifications=NotificationsView(**datastore.notifications),
        created_at=datastore.created_at,
        updated_at=datastore.updated_at,
        db_account=None,
    )


async def _account(tx: AsyncSession, services: Services, caller: Identity, datastore: Datastore) -> Account | None:
    """None for an operator who looks at somebody else's, and while there is no password yet."""
    if not caller.owns((datastore.owner_type, datastore.owner_id)):
        return None
    try:
        password = await services.vault.get(tx, datastore_scope(datastore.id), "admin")
    except NotFound:
        return None
    return Account(
        database_username=datastore.admin_user,
        database_password=password,
        database_host=Subject(services, datastore).primary_name,
        database_database=datastore.admin_database,
    )


def _type_name(settings: Settings, datastore: Datastore) -> str:
    vendor = settings.database(datastore.vendor)
    return next((t.name for t in vendor.types if t.code == datastore.cluster_type), "") if vendor else ""


def _region(settings: Settings, datastore: Datastore) -> RegionView:
    cloud = settings.cloud(datastore.cloud)
    name = next((r.name for r in cloud.regions if r.code == datastore.region), "") if cloud else ""
    return RegionView(code=datastore.region, name=name or datastore.region)
