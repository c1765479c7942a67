"""For operators: the network plan, tried from a temporary node in the datastores' network."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from ccx import jobs
from ccx.errors import Invalid, NotFound
from ccx.network import Plane
from ccx.rest import job_views, offer
from ccx.rest.deps import ActingFor, AnyDatastore, Caller, Context, Transaction
from ccx.rest.job_labels import PROBE
from ccx.rest.job_views import JobWithSteps
from ccx.rest.routing import OperatorRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import Body, Text
from ccx.runner.probe_network import REPORT
from ccx.runner.steps import preflight
from ccx.settings import CloudConfig, Settings
from ccx.stores import audit, datastores

router = make_router(OperatorRoute, "/api/admin/network/probes", "operators")

KIND = "probe_network"


class Wish(Body):
    """``rows`` are ids of the plan's; none: all that are tried from nodes."""

    cloud: Text = ""
    region: Text = ""
    rows: Annotated[list[Text], Field(max_length=200)] = Field(default_factory=list)
    planned: bool = False
    """Whether rows of services that are not built yet count."""


class Begun(BaseModel):
    probe_uuid: UUID
    job_id: UUID


class Probe(BaseModel):
    probe_uuid: UUID
    job: JobWithSteps
    report: dict[str, Any] | None
    """As ``probe.schema.json`` has it; null before the node has tried the rows."""


@router.post("", status_code=202)
async def begin(wish: Wish, tx: Transaction, caller: Caller, owner: ActingFor, services: Context) -> Begun:
    """Begins a probe. It takes as long as a node takes to boot there, and a few seconds. Audited."""
    audit.record(tx, caller.actor, "probe the network")
    settings = services.settings
    cloud = offer.cloud(settings, wish.cloud, "cloud") if wish.cloud or not settings.clouds else settings.clouds[0]
    region = offer.region(cloud, wish.region, "region") if wish.region else cloud.regions[0]
    _check_rows(settings, cloud, wish.rows)
    smallest = min(cloud.instance_types, key=lambda kind: (kind.ram, kind.cpu))
    home = await datastores.never(
        tx, owner, name="network probe", vendor="probe", version="", cluster_type="probe", size=1, cloud=cloud.code,
        region=region.code, instance_size=smallest.code, volume_type="", volume_size=0,
    )  # fmt: skip
    args = {"datastore_id": str(home.id), "rows": wish.rows, "planned": wish.planned}
    job_id = await jobs.enqueue(tx, KIND, key=str(home.id), args=args, owner=owner, label=PROBE)
    return Begun(probe_uuid=home.id, job_id=job_id)


@router.get("/{datastore_id}")
async def result(datastore: AnyDatastore, tx: Transaction) -> Probe:
    """A probe, and what it found."""
    found, _ = await jobs.history(tx, str(datastore.id), 1, 0)
    if not found or found[0].kind != KIND:
        raise NotFound(f"there is no probe {datastore.id}", remedy="Begin one: ccx network probe --from data")
    steps = await jobs.steps(tx, found[0].id)
    report = next((step.result for step in steps if step.name == REPORT), None)
    return Probe(probe_uuid=datastore.id, job=job_views.with_steps(found[0], steps, 1), report=report)


def _check_rows(settings: Settings, cloud: CloudConfig, rows: list[str]) -> None:
    known = sorted({row.id for row in preflight.of_node(settings, cloud.code).select(Plane.DATA)})
    for row in rows:
        if row not in known:
            raise Invalid(f"nodes have no row {row!r}", field="rows", remedy=f"There is: {', '.join(known)}")
