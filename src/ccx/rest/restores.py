"""Restores: a new datastore out of another one's backups, which is left as it is; or in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel

from ccx import jobs
from ccx.db import utc_now
from ccx.errors import CcxError, Invalid
from ccx.rest import offer
from ccx.rest import restores_in_place as in_place
from ccx.rest.cluster_orders import Count, General, Instance, Network, Notifications, Order, Where, place
from ccx.rest.deps import AnyDatastore, Context, Transaction
from ccx.rest.job_labels import BACKUP, DEPLOY
from ccx.rest.routing import OwnerRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import AnyText, Body, Text, When
from ccx.runner import drills, readers, restore_preview, targets, windows
from ccx.runner.services import Services
from ccx.runner.steps.backups import check
from ccx.runner.subject import Subject
from ccx.runner.targets import Target
from ccx.stores import backups, datastores
from ccx.stores.models import Datastore

router = make_router(OwnerRoute, "/api/backup/api/v1/backups", "backups")


class FromBackup(Body):
    """What the new datastore shall be; what is left out is as the other one has it."""

    pitr_stop_time: AwareDatetime | None = None
    """What was committed until then, and nothing later. Without: the backup as it is."""
    pitr_stop_lsn: Text | None = None
    """Instead: what was committed before this place in the log, and nothing from it on: ``0/3000148``, or a GTID."""
    pitr_stop_xid: int | None = None
    """Instead: what was committed before this transaction, and nothing from it on; PostgreSQL only."""
    in_place: bool = False
    """The same datastore, under its names; what serves now is kept until that is confirmed or taken back."""
    cluster_name: AnyText | None = None
    """Without: the other one's, with the time of the request; and a number, if there is one of that name."""
    db_vendor: Text | None = None
    """The other one's, if it is said: a backup is copies of one vendor's files, of one version."""
    db_version: Text | None = None
    cluster_size: Count | None = None
    instance_size: Text | None = None
    volume_size: Count | None = None
    """GiB."""
    dry_run: bool = False
    """Check everything and tell what would be restored, and make nothing."""


class Restore(FromBackup):
    backup_id: Text | None = None
    """Without: the newest that ended before the time to restore to."""


class Restoring(BaseModel):
    """What is restored, or would be."""

    uuid: UUID | None
    """The new datastore's, or in place the same; null of a dry run."""
    cluster_uuid: UUID | None
    job_id: UUID | None
    cluster_name: str
    backup_id: str
    """What it begins with."""
    until: When | None
    """What was committed until then will be there; null: the backup as it is."""
    window_start: When
    window_end: When
    """The other datastore can be restored to any time from the one to the other."""
    log_first: str | None
    """The first segment of the log that is replayed."""
    size: int
    """Bytes of the database in the backup."""
    cluster_size: int
    instance_size: str
    volume_size: int
    in_place: bool = False
    old_data: str = ""
    """What becomes of the data that serve now."""


@router.post("/{datastore_id}/restore", status_code=202)
async def restore(datastore: AnyDatastore, wish: Restore, tx: Transaction, services: Context) -> Restoring:
    """Without a time and a backup: with everything that was committed until now."""
    return await _restore(services, tx, datastore, wish, wish.backup_id)


@router.post("/{datastore_id}/{backup_id}/restore", status_code=202)
async def restore_backup(
    datastore: AnyDatastore, backup_id: str, wish: FromBackup, tx: Transaction, services: Context
) -> Restoring:
    """Makes a new datastore from that backup: as it is, or with the log after it up to a time."""
    return await _restore(services, tx, datastore, wish, backup_id)


class Drilling(BaseModel):
    drill_uuid: UUID
    """What the job belongs to."""
    job_id: UUID
    backup_id: str


@router.post("/{datastore_id}/drill", status_code=202)
async def drill(datastore: AnyDatastore, tx: Transaction, services: Context) -> Drilling:
    """Proves the newest backup: restores it into a throw-away node, has it checked, and removes that again."""
    check(services, Subject(services, datastore))
    ordered = await drills.order(tx, datastore)
    return Drilling(drill_uuid=ordered.home, job_id=ordered.job_id, backup_id=ordered.backup)


async def _restore(
    services: Services, tx: Transaction, source: Datastore, wish: FromBackup, label: str | None
) -> Restoring:
    check(services, Subject(services, source))
    if wish.db_vendor or wish.db_version:
        with _as_asked():
            _check_same(services, source, wish)
    found, _ = await backups.of(tx, source.id)
    at, lsn, xid = wish.pitr_stop_time, wish.pitr_stop_lsn, wish.pitr_stop_xid
    as_it_is = label is not None and at is None and lsn is None and xid is None
    plan = await targets.plan(services, source, found, Target(at, lsn, xid, label, as_it_is))
    owner = (source.owner_type, source.owner_id)
    new: dict[str, Any] = {"uuid": None, "cluster_uuid": None, "job_id": None}
    kept_for = services.settings.restore_keep_days
    if wish.in_place:
        await in_place.check(services, tx, source, plan, wish.model_dump())
        await restore_preview.check_there(services, source, plan)
        values: dict[str, Any] = {
            name: getattr(source, name) for name in ("name", "size", "instance_size", "volume_size")
        }
        if not wish.dry_run:
            await readers.check_stays(tx, source, plan.backup)
            new = {"uuid": source.id, "cluster_uuid": source.id, "job_id": await in_place.order(tx, source, plan)}
    else:
        with _as_asked():
            values = await place(services, tx, owner, _order(source, wish))
        windows.check_room(plan.backup, values["volume_size"])
        if not wish.dry_run:
            await readers.check_stays(tx, source, plan.backup)
            origin = {"datastore": str(source.id), **plan.origin}
            same = {"admin_user": source.admin_user, "admin_database": source.admin_database}
            add = datastores.add if wish.cluster_name else datastores.add_beside
            made = await add(tx, owner, **values, **same, origin=origin)
            values["name"] = made.name
            args = {"datastore_id": str(made.id), "label": BACKUP}
            job = await jobs.enqueue(tx, "restore_datastore", key=str(made.id), args=args, owner=owner, label=DEPLOY)
            new = {"uuid": made.id, "cluster_uuid": made.id, "job_id": job}
    return Restoring(
        **new, cluster_name=values["name"], backup_id=plan.backup.label, until=plan.until,
        window_start=plan.window.start, window_end=plan.window.end, log_first=plan.backup.wal_first,
        size=plan.backup.size, cluster_size=values["size"], instance_size=values["instance_size"],
        volume_size=values["volume_size"], in_place=wish.in_place,
        old_data=f"serves until the restored data take over; kept off for {kept_for} days, or until it is confirmed"
        if wish.in_place else "stays as it is",
    )  # fmt: skip


def _check_same(services: Services, source: Datastore, wish: FromBackup) -> None:
    """Raises Invalid for another vendor or version than that of the backups."""
    cure = "Leave it out: the new datastore has what the backups are of"
    vendor, version = wish.db_vendor or source.vendor, wish.db_version or source.version
    if offer.vendor(services.settings, vendor).code != source.vendor:
        err = f"backups of {source.vendor} can't be restored into {vendor}: they are copies of its files"
        raise Invalid(err, field="db_vendor", remedy=f"{cure}; or copy the data with a dump")
    if version.isalpha():  # latest
        version = offer.version(offer.vendor(services.settings, vendor), version)
    if version != source.version:
        older = _parts(version) < _parts(source.version)
        why = "an older version does not read its files" if older else "it is restored as it was, and upgraded then"
        err = f"backups of {source.vendor} {source.version} can't be restored into {version}: {why}"
        raise Invalid(err, field="db_version", remedy=cure)


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


@contextmanager
def _as_asked() -> Iterator[None]:
    """Errors of an order are about fields of a restore here, which are called the same but stand in no part of it."""
    try:
        yield
    except CcxError as error:
        if error.field:
            error.field = error.field.rpartition(".")[2]
        raise


def _order(source: Datastore, wish: FromBackup) -> Order:
    """Like the other one, but for what is wished otherwise; checked as any order is."""
    size = source.size if wish.cluster_size is None else wish.cluster_size
    stamp = utc_now().strftime("%Y%m%d-%H%M%S")
    return Order(
        general=General(
            cluster_name=wish.cluster_name or f"{source.name[:40].rstrip(' ._-')}-{stamp}", cluster_size=size,
            db_vendor=source.vendor, db_version=source.version, cluster_type=source.cluster_type, tags=source.tags,
        ),
        cloud=Where(cloud_provider=source.cloud, cloud_region=source.region),
        instance=Instance(
            instance_size=wish.instance_size or source.instance_size, volume_type=source.volume_type,
            volume_size=source.volume_size if wish.volume_size is None else wish.volume_size,
            volume_iops=source.volume_iops,
        ),
        network=Network(
            network_type=source.network_type, ha_enabled=source.ha_enabled,
            availability_zones=source.zones if size == source.size else None,
        ),
        notifications=Notifications(**source.notifications),
    )  # fmt: skip
