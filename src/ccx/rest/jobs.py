"""A datastore's jobs, newest first. They stay readable after the datastore is deleted: its deletion is one of them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel

from ccx import jobs
from ccx.errors import NotFound
from ccx.rest import job_views
from ccx.rest.deps import ActingFor, AnyDatastore, Caller, Paging, Transaction, any_datastore
from ccx.rest.job_labels import ROUTINE
from ccx.rest.job_views import JobView, JobWithSteps
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router

router = make_router(OwnerRoute, "/api/deployment/v2", "jobs")


class Jobs(BaseModel):
    jobs: list[JobView]
    total: int


class JobOfDatastore(JobWithSteps):
    datastore_uuid: UUID


@router.get("/data-stores/{datastore_id}/jobs")
async def list_jobs(
    datastore: AnyDatastore,
    tx: Transaction,
    page: Paging,
    routine: Annotated[bool, Query(description="also small ones such as firewall changes")] = False,
) -> Jobs:
    """Newest first. Clients wait for the first of a type, so routine jobs are left out unless they are asked for."""
    without = () if routine else ROUTINE
    found, total = await jobs.history(tx, str(datastore.id), page.limit, page.offset, without=without)
    return Jobs(jobs=[job_views.summary(job) for job in found], total=total)


@router.get("/data-stores/{datastore_id}/jobs/{job_id}")
async def get_job(datastore: AnyDatastore, job_id: UUID, tx: Transaction) -> JobWithSteps:
    """One job with its steps, their times and progress."""
    job = await jobs.get(tx, job_id)
    if job is None or job.key != str(datastore.id):
        raise NotFound(f"this datastore has no job {job_id}", remedy="List them: ccx job list DATASTORE")
    return job_views.with_steps(job, await jobs.steps(tx, job.id), datastore.size)


@router.get("/jobs/{job_id}")
async def find_job(job_id: UUID, request: Request, tx: Transaction, caller: Caller, owner: ActingFor) -> JobOfDatastore:
    """A job by its id alone, of whichever of the owner's datastores it is."""
    unknown = NotFound(f"there is no job {job_id}", remedy="List a datastore's: ccx job list DATASTORE")
    job = await jobs.get(tx, job_id)
    if job is None:
        raise unknown
    try:
        datastore = await any_datastore(UUID(job.key), request, tx, caller, owner)
    except (NotFound, ValueError):  # somebody else's, or the installation's own
        raise unknown from None
    found = job_views.with_steps(job, await jobs.steps(tx, job.id), datastore.size)
    return JobOfDatastore(**found.model_dump(), datastore_uuid=datastore.id)
