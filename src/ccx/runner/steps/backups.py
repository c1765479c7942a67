"""A datastore's way to its backups: keys, the log's archive, a backup."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.cmon.backup import BacksUp, Kind
from ccx.cmon.backup.base import Backup
from ccx.cmon.node_channel import NodeUnreachable
from ccx.db import utc_now
from ccx.errors import CcxError, Invalid, Transient
from ccx.jobs import Step, TransactionBody, schedules
from ccx.runner import branches, repositories, windows
from ccx.runner.policies import policy
from ccx.runner.readers import is_read
from ccx.runner.retention import expiring
from ccx.runner.services import Services
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.storage.opened import location_of, open_access, open_store
from ccx.stores import backups as stored
from ccx.stores import datastores
from ccx.stores.models import Backup as Row
from ccx.stores.models import Datastore, Desired

SCHEDULED = "JOB_TYPE_SCHEDULED_BACKUP"
"""What the API calls a backup's job that nobody asked for."""
VERIFIED, DRILLED = "JOB_TYPE_SCHEDULED_VERIFICATION", "JOB_TYPE_SCHEDULED_DRILL"
_SPREAD = timedelta(minutes=30)
_ON_ITS_WAY = timedelta(hours=1)
"""For so long a part of the log may be uploaded."""

log = structlog.get_logger()


def engine_of(subject: Subject) -> BacksUp:
    """The datastore's engine, if it can back up. Raises Invalid."""
    engine = subject.engine
    if not isinstance(engine, BacksUp):
        what = f"{subject.datastore.vendor} with {subject.datastore.cluster_type}"
        raise Invalid(f"{what} can't be backed up", remedy="Copy its data with its own tools")
    return engine


def check(services: Services, subject: Subject) -> None:
    """Raises Invalid or NotFound for a datastore that can't be backed up as things are."""
    engine_of(subject)
    location_of(repositories.cloud_of(services, subject.datastore))


def grant(services: Services, datastore_id: str) -> Action:
    """Keys of its own in the store, sealed before anybody uses them. Those that it has already stay."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        datastore = subject.datastore
        async with services.sessions() as tx:
            if await repositories.repository(tx, services, datastore) is not None:
                return
        async with open_access(repositories.cloud_of(services, datastore), services.settings) as access:
            keys = await access.grant(repositories.user(services, datastore), repositories.prefix(datastore))
        async with services.sessions.begin() as tx:
            await repositories.keep(tx, services, datastore, keys)

    return action


def revoke(subject: Subject) -> Action:
    """Its keys open nothing any more; what is in the store stays. Nothing to do where it never had any."""
    services, datastore = subject.services, subject.datastore

    async def action(step: Step) -> None:
        async with services.sessions() as tx:
            if await repositories.repository(tx, services, datastore) is None:
                return
        async with open_access(repositories.cloud_of(services, datastore), services.settings) as access:
            await access.revoke(repositories.user(services, datastore))
        async with services.sessions.begin() as tx:
            await repositories.forget_keys(tx, services, datastore)

    return action


def configure(services: Services, datastore_id: str) -> Action:
    """Gives the nodes their way to the store. One that is away gets it with the next backup: it must not keep this one.

    The primary's is made sure of once more when it backs up: it may be another one by then.
    """

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        spec, engine = await subject.cluster(), engine_of(subject)

        async def one(label: str) -> None:
            try:
                await engine.configure_backups(services.channel, spec, label, step.token)
            except NodeUnreachable as error:
                log.warning("a node did not get its way to the object store", node=label, reason=str(error))

        await asyncio.gather(*(one(node.label) for node in spec.nodes))

    return action


def order_full(datastore_id: str, label: str) -> TransactionBody:
    """What was restored gets a backup of its own, whose job is called ``label`` in the API."""

    async def action(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        owner = (datastore.owner_type, datastore.owner_id)
        args = {"datastore_id": datastore_id, "kind": Kind.FULL.value}
        await jobs.enqueue(tx, "backup_datastore", key=datastore_id, args=args, owner=owner, label=label)

    return action


def archive(services: Services, datastore_id: str) -> Action:
    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        await engine_of(subject).start_archiving(services.channel, await subject.cluster(), step.token)

    return action


def back_up(services: Services, datastore_id: str, name: str, kind: Kind) -> Action:
    """The backup; its result is what the store has of it then. It is full where the newest one can't be built on."""

    async def action(step: Step) -> dict[str, Any]:
        subject = await Subject.load(services, datastore_id)
        async with services.sessions() as tx:
            known, _ = await stored.of(tx, subject.datastore.id)
        wanted = kind if not known or windows.is_whole(known[0], known) else Kind.FULL

        async def report(progress: dict[str, Any]) -> None:
            await step.progress(progress["done"], progress.get("total"), progress.get("unit"), progress.get("note"))

        spec = await subject.cluster()
        return as_json(await engine_of(subject).back_up(services.channel, spec, name, wanted, step.token, report))

    return action


def end(services: Services, datastore_id: str, name: str) -> Action:
    """Undo of :func:`back_up`: whichever node makes it makes it no more. What is complete already stays."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        if not subject.datastore.is_gone:
            await engine_of(subject).end_backup(services.channel, await subject.cluster(), name, step.token)

    return action


def expire(services: Services, datastore_id: str) -> Action:
    """Removes what is no longer kept, unless somebody reads backups just now: then the next one does so.

    That it can't be is no reason to call a backup failed.
    """

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        kept = policy(services.settings, subject.datastore)
        engine, spec = engine_of(subject), await subject.cluster()
        try:
            there = await engine.backups(services.channel, spec)
            async with services.sessions.begin() as tx:
                # Who orders a restore chooses under the same lock: it finds a backup that stays until it is over.
                datastore = await datastores.get(tx, subject.datastore.id, for_update=True)
                known, _ = await stored.of(tx, datastore.id)
                # One of a restore in place, too, which may be waiting for this very backup to be over.
                read = branches.state(datastore) == branches.PREPARING or await is_read(tx, datastore)
                own = _kept(there, known)
                gone = [] if read else expiring(datastore, own, known, utc_now(), kept.keep_days, kept.keep_full)
                await stored.going(tx, datastore.id, gone)
            if gone:
                await engine.expire(services.channel, spec, gone, step.token)
            await _drop_unfinished(services, subject)
        except (CcxError, Transient) as error:
            log.warning("old backups are not removed", datastore=subject.datastore.short_id, reason=str(error))

    return action


async def _drop_unfinished(services: Services, subject: Subject) -> None:
    """What a node that died in the middle of an upload left there.

    No other backup is being made now, and the log's parts are small: what is older is not on its way any more.
    """
    cloud = services.settings.cloud(subject.datastore.cloud)
    if cloud is None:
        return
    store = open_store(cloud, services.settings)
    try:
        gone = await store.drop_unfinished(repositories.prefix(subject.datastore), utc_now() - _ON_ITS_WAY)
        if gone:
            log.info("uploads without an end are given up", datastore=subject.datastore.short_id, uploads=gone)
    finally:
        await store.close()


@dataclass(frozen=True)
class _Kept:
    """A backup in the store, with what is known of it."""

    label: str
    parent: str | None
    ended_at: datetime
    good: bool
    unusable: str | None


def _kept(there: Sequence[Backup], known: Sequence[Row]) -> list[_Kept]:
    unusable = {row.label: row.unusable for row in known}
    return [_Kept(one.id, one.parent, one.ended, one.good, unusable.get(one.id)) for one in there]


def look(services: Services, datastore_id: str) -> Action:
    """What the store has of the datastore, asked of the tool."""

    async def action(step: Step) -> list[dict[str, Any]]:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster()
        found = await engine_of(subject).backups(services.channel, cluster)
        return [{**as_json(backup), "branch": cluster.branch} for backup in found]

    return action


def record(
    services: Services,
    datastore_id: str,
    found: list[dict[str, Any]],
    made: str | None = None,
    counted: dict[str, Any] | None = None,
) -> TransactionBody:
    """Remembers what :func:`look` found: so it is known when no node can be asked, and after the datastore.

    ``made`` is the backup that was made just now, if there was one, and ``counted`` the rows then. From then on the
    datastore is backed up again by itself.
    """

    async def action(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        rows = [_row(entry) for entry in found]
        await stored.replace(tx, datastore, [r | {"counts": counted} if r["label"] == made else r for r in rows])
        if made is not None:
            datastore.backup_failed = None
        if datastore.desired is Desired.PRESENT:
            await schedule(tx, services, datastore)

    return action


@dataclass(frozen=True)
class _Routine:
    """What is done by itself, at the times that the policy has under its name."""

    name: str
    operation: str
    label: str
    spread: timedelta = _SPREAD
    args: tuple[tuple[str, str], ...] = ()


_ROUTINES = (
    _Routine("full", "backup_datastore", SCHEDULED, args=(("kind", Kind.FULL.value),)),
    _Routine("incremental", "backup_datastore", SCHEDULED, args=(("kind", Kind.INCREMENTAL.value),)),
    _Routine("verify", "verify_backups", VERIFIED, timedelta(hours=3)),
    _Routine("drill", "order_drill", DRILLED, timedelta(hours=12)),
)


async def schedule(tx: AsyncSession, services: Services, datastore: Datastore) -> None:
    """From now on it is backed up, and its backups are proved, as its policy says."""
    key, owner = str(datastore.id), (datastore.owner_type, datastore.owner_id)
    wanted = policy(services.settings, datastore)
    for one in _ROUTINES:
        cron, args = getattr(wanted, one.name), {"datastore_id": key, **dict(one.args)}
        try:
            if cron:
                await schedules.put(
                    tx, _name(datastore, one), cron, one.operation, key=key, args=args, owner=owner, label=one.label,
                    jitter=one.spread,
                )  # fmt: skip
            else:
                await schedules.remove(tx, _name(datastore, one))
        except Invalid as error:
            log.error("there is no schedule for backups", what=one.name, reason=str(error))


async def unschedule(tx: AsyncSession, datastore: Datastore) -> None:
    """It is backed up by itself no more."""
    for one in _ROUTINES:
        await schedules.remove(tx, _name(datastore, one))


async def keep_for_a_while(tx: AsyncSession, services: Services, datastore: Datastore) -> None:
    """Says when the backups of a datastore that goes are removed, if it was not said that they go with it."""
    days = policy(services.settings, datastore).keep_deleted_days
    ever = await services.vault.get_all(tx, repositories.scope(datastore.id))
    if datastore.backups_until is None and days and ever:
        datastore.backups_until = utc_now() + timedelta(days=days)


async def remove_soon(tx: AsyncSession, datastore: Datastore) -> datetime:
    """Has a datastore's backups removed as soon as it is gone, or as they are no longer locked; returns when."""
    known, _ = await stored.of(tx, datastore.id)
    locked = [one.locked_until for one in known if one.locked_until is not None]
    datastore.backups_until = max([utc_now(), *locked])
    return datastore.backups_until


def _name(datastore: Datastore, routine: _Routine) -> str:
    return f"backup {routine.name} {datastore.id}"


def as_json(backup: Backup) -> dict[str, Any]:
    return {
        "id": backup.id, "parent": backup.parent, "kind": backup.kind.value, "started": backup.started.isoformat(),
        "ended": backup.ended.isoformat(), "size": backup.size, "stored": backup.stored, "good": backup.good,
        "log": backup.log, "lsn": backup.lsn, "xid": backup.xid, "node": backup.node,
        "tool": backup.tool,
    }  # fmt: skip


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    first, last = entry.get("log") or (None, None)
    return {
        "label": entry["id"], "parent": entry["parent"], "kind": entry["kind"], "good": entry["good"],
        "size": entry["size"], "stored": entry["stored"], "wal_first": first, "wal_last": last,
        "lsn": entry.get("lsn"), "xid": entry.get("xid"), "node": entry.get("node"),
        "tool": entry.get("tool"), "branch": entry.get("branch", 0),
        "started_at": datetime.fromisoformat(entry["started"]), "ended_at": datetime.fromisoformat(entry["ended"]),
    }  # fmt: skip
