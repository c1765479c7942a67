"""Whether a datastore's backups are good, and how long they are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from ccx import jobs
from ccx.db import utc_now
from ccx.errors import Conflict, Invalid
from ccx.jobs import schedules
from ccx.rest.deps import AnyDatastore, Context, OwnedDatastore, Transaction, check_serves
from ccx.rest.job_labels import VERIFY
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import Body, Text, When
from ccx.runner import reports
from ccx.runner.policies import Policy, policy
from ccx.runner.steps import backups as steps
from ccx.runner.steps import proof
from ccx.runner.subject import Subject
from ccx.settings import Settings
from ccx.stores import backups
from ccx.stores.models import Datastore

router = make_router(OwnerRoute, "/api/backup/api/v1", "backups")


class Verifying(BaseModel):
    job_id: UUID


class ProofView(BaseModel):
    """What is proved of the backups, how much could be lost, how long a recovery takes."""

    backups: int
    usable: int
    """Those that can be restored, as far as is known."""
    newest_at: When | None
    """When the newest of them ended."""
    verified_at: When | None
    """When the newest of them was last read through."""
    proved_backup_id: str | None
    """The newest that a drill restored and found good."""
    proved_at: When | None
    recovery_seconds: float | None
    """What that drill took, from its order until the restored database served."""
    drilled_at: When | None
    drill_err: str | None
    """Why the last drill failed; null: it did not."""
    recovery_point: When | None
    """When the newest part of the log came into the object store."""
    failed_at: When | None
    """When the last backup failed; null: it did not."""
    failed_err: str | None
    again_at: When | None
    """When a failed first backup is tried again."""
    kept_until: When | None
    """Of a deleted datastore: when its backups are removed; null: never, or it is not deleted."""


class OwnPolicy(Body):
    """What shall differ from the installation's settings; null, or left out: as they have it."""

    full: Text | None = None
    incremental: Text | None = None
    verify: Text | None = None
    drill: Text | None = None
    keep_days: int | None = Field(default=None, ge=0, le=36500)
    keep_full: int | None = Field(default=None, ge=0, le=10000)
    keep_deleted_days: int | None = Field(default=None, ge=0, le=36500)


class PolicyView(Policy):
    """What holds."""

    own: list[str]
    """The names of what the datastore has itself; the rest is the installation's."""


@router.post("/backups/{datastore_id}/verify", status_code=202)
async def verify_backups(datastore: OwnedDatastore, tx: Transaction, services: Context) -> Verifying:
    """Reads all of the datastore's backups and log; what is damaged then says so in the list."""
    steps.check(services, Subject(services, datastore))
    proof.engine_of(Subject(services, datastore))
    _, total = await backups.of(tx, datastore.id, limit=1)
    if not total:
        raise Conflict(f"there is no backup of {datastore.name}", remedy="Make one: ccx backup create")
    await check_serves(tx, datastore, remedy="Its nodes read the backups: prove one by ccx backup drill")
    key, owner = str(datastore.id), (datastore.owner_type, datastore.owner_id)
    args = {"datastore_id": key}
    job = await jobs.enqueue(tx, "verify_backups", key=key, args=args, owner=owner, label=VERIFY, dedup=True)
    return Verifying(job_id=job)


@router.get("/proof/{datastore_id}")
async def get_proof(datastore: AnyDatastore, tx: Transaction) -> ProofView:
    """What is proved of a datastore's backups; of a deleted one too."""
    return await proof_of(tx, datastore)


async def proof_of(tx: Transaction, datastore: Datastore) -> ProofView:
    known, _ = await backups.of(tx, datastore.id)
    found, failed = reports.report(datastore, known), datastore.backup_failed or {}
    return ProofView(
        backups=found.backups, usable=found.usable, newest_at=found.newest, verified_at=found.verified,
        proved_backup_id=found.proved_backup, proved_at=found.proved, recovery_seconds=found.recovery_seconds,
        drilled_at=found.drilled, drill_err=found.drill_err, recovery_point=found.recovery_point,
        failed_at=reports.when(failed.get("at")), failed_err=failed.get("err"),
        again_at=reports.when(failed.get("again")), kept_until=datastore.backups_until,
    )  # fmt: skip


@router.get("/policies/{datastore_id}")
async def get_policy(datastore: AnyDatastore, services: Context) -> PolicyView:
    """When the datastore is backed up and proved by itself, and how long that is kept."""
    return _view(services.settings, datastore)


@router.put("/policies/{datastore_id}")
async def put_policy(datastore: OwnedDatastore, wish: OwnPolicy, tx: Transaction, services: Context) -> PolicyView:
    """Replaces what the datastore has of its own. Schedules hold at once, what is kept from the next backup on."""
    own: dict[str, Any] = wish.model_dump(exclude_none=True)
    for name in ("full", "incremental", "verify", "drill"):
        if own.get(name):
            _check_cron(name, own[name])
    datastore.backup_policy = own or None
    _, total = await backups.of(tx, datastore.id, limit=1)
    if total:
        await steps.schedule(tx, services, datastore)
    return _view(services.settings, datastore)


def _check_cron(name: str, cron: str) -> None:
    try:
        schedules.next_after(cron, "UTC", timedelta(0), name, utc_now())
    except Invalid as error:
        raise Invalid(error.err, field=name, remedy=error.remedy) from None


def _view(settings: Settings, datastore: Datastore) -> PolicyView:
    return PolicyView(**policy(settings, datastore).model_dump(), own=sorted(datastore.backup_policy or {}))
