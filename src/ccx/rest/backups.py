"""A datastore's backups."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel

from ccx import jobs
from ccx.cmon.backup import Kind
from ccx.errors import Conflict
from ccx.rest import names
from ccx.rest.deps import ActingFor, AnyDatastore, Context, OwnedDatastore, Paging, Transaction, check_serves
from ccx.rest.job_labels import BACKUP, REMOVE
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import AnyText, Body, When
from ccx.runner.steps import backups
from ccx.runner.subject import Subject
from ccx.stores import backups as stored
from ccx.stores.models import Backup, Status

router = make_router(OwnerRoute, "/api/backup/api/v1/backups", "backups")


_TOOLS = {"postgres": "pgbackrest", "mariadb": "mariadb-backup", "percona": "xtrabackup"}
"""By vendor, where a backup doesn't say."""


class BackupView(BaseModel):
    backup_id: str
    parent_id: str | None
    """The backup that an incremental one builds on."""
    backup_method: str
    """The tool that made it."""
    backup_type: Kind
    node: str | None
    """Label of the node that copied it: a replica, where one was good for it; null: of before this was noted."""
    status: str
    """``completed``; ``damaged``: pages with wrong checksums were found as it was made; ``unusable``: see ``err``."""
    err: str
    """Why it can't be restored, as verification found: the object, and what is wrong with it."""
    verified_at: When | None
    """When all of its objects were last read."""
    log_until: When | None
    """The log has a gap: no later time can be restored from it; null: there is none."""
    locked_until: When | None
    """Until then nobody can delete it from the object store."""
    rows: int | None
    """That were counted when it was made; a drill compares."""
    size: int
    """Bytes of the database."""
    stored: int
    """Bytes that it added to the object store."""
    started_at: When
    ended_at: When
    drill: dict[str, Any] | None
    """What its last restore drill found: ``at``, ``proved``, ``seconds`` till it served, ``err``; null: none yet."""

    @classmethod
    def of(cls, backup: Backup, vendor: str) -> BackupView:
        return cls(
            backup_id=backup.label, parent_id=backup.parent, backup_method=backup.tool or _TOOLS[vendor],
            backup_type=Kind(backup.kind), node=backup.node,
            status=_status(backup), size=backup.size, stored=backup.stored,
            err=backup.unusable or "", verified_at=backup.verified_at, log_until=backup.log_until,
            locked_until=backup.locked_until, rows=sum(backup.counts["rows"].values()) if backup.counts else None,
            started_at=backup.started_at, ended_at=backup.ended_at, drill=backup.drill,
        )  # fmt: skip


def _status(backup: Backup) -> str:
    if backup.unusable is not None:
        return "unusable"
    return "completed" if backup.good else "damaged"


class Backups(BaseModel):
    backups: list[BackupView]
    total: int


class OwnedBackup(BackupView):
    datastore_uuid: UUID
    datastore_name: str
    datastore_status: Status


class OwnedBackups(BaseModel):
    backups: list[OwnedBackup]


class NewBackup(Body):
    backup_type: Kind = Kind.INCREMENTAL


class Removed(BaseModel):
    removed_at: When
    """From when on they can be restored no more."""


class Begun(BaseModel):
    job_id: str


@router.get("")
async def list_all_backups(owner: ActingFor, tx: Transaction, page: Paging) -> OwnedBackups:
    """The owner's backups, newest first, those of deleted datastores too."""
    found = await stored.of_owner(tx, owner, limit=page.limit, offset=page.offset)
    views = [
        OwnedBackup(
            **BackupView.of(backup, datastore.vendor).model_dump(), datastore_uuid=datastore.id,
            datastore_name=datastore.name, datastore_status=datastore.status,
        )
        for backup, datastore in found
    ]  # fmt: skip
    return OwnedBackups(backups=views)


@router.get("/{datastore_id}")
async def list_backups(datastore: AnyDatastore, tx: Transaction, page: Paging) -> Backups:
    """The complete backups of a datastore, newest first, as the newest of them found them; of a deleted one too."""
    found, total = await stored.of(tx, datastore.id, limit=page.limit, offset=page.offset)
    return Backups(backups=[BackupView.of(one, datastore.vendor) for one in found], total=total)


@router.delete("/{datastore_id}")
async def delete_backups(datastore: AnyDatastore, tx: Transaction, confirm: AnyText = "") -> Removed:
    """Removes the backups of a deleted datastore before their time; ``confirm`` is its name. Nothing brings them back.

    Locked ones go as soon as they are no longer.
    """
    if datastore.status is not Status.DELETED:
        raise Conflict(
            f"the datastore is {datastore.status}: its backups are removed as their policy says",
            remedy="Delete them with it: ccx datastore delete --delete-backups; or change the policy",
        )
    names.check_confirmed(datastore.name, confirm)
    await tx.refresh(datastore, with_for_update=True)
    until = await backups.remove_soon(tx, datastore)
    key, owner = str(datastore.id), (datastore.owner_type, datastore.owner_id)
    args = {"datastore_id": key}
    await jobs.enqueue(tx, "remove_backups", key=key, args=args, owner=owner, label=REMOVE, dedup=True)
    return Removed(removed_at=until)


@router.post("/{datastore_id}", status_code=202)
async def create_backup(datastore: OwnedDatastore, wish: NewBackup, tx: Transaction, services: Context) -> Begun:
    """Begins a backup; its job tells how far it is. The first one of a datastore is full, whatever is asked for."""
    backups.check(services, Subject(services, datastore))
    await check_serves(tx, datastore)
    key, owner = str(datastore.id), (datastore.owner_type, datastore.owner_id)
    args = {"datastore_id": key, "kind": wish.backup_type.value}
    return Begun(job_id=str(await jobs.enqueue(tx, "backup_datastore", key=key, args=args, owner=owner, label=BACKUP)))
