"""Whether a datastore's backups are good: rows counted when they are made, the store read through, what follows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.cmon.backup import Findings, Kind, Proves
from ccx.db import utc_now
from ccx.errors import CcxError, Invalid, Transient
from ccx.jobs import Step, TransactionBody
from ccx.runner import branches, repositories, soundness
from ccx.runner.services import Services
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.storage.opened import open_store
from ccx.stores import backups as stored
from ccx.stores import datastores
from ccx.stores.models import Backup, Desired

HEALING = "JOB_TYPE_SCHEDULED_BACKUP"
"""What the API calls the backup that takes a damaged one's place: nobody asked for it."""
_HEALED_AFTER = timedelta(minutes=5)
_READ_AT_ONCE = 2**30
"""Bytes in the store that are read back right after a backup; larger chains are when everything is."""

log = structlog.get_logger()


def engine_of(subject: Subject) -> Proves:
    """The datastore's engine, if its backups can be proved. Raises Invalid."""
    if not isinstance(subject.engine, Proves):
        raise Invalid(f"backups of {subject.datastore.vendor} can't be verified yet", remedy="Restore one to see")
    return subject.engine


def count(services: Services, datastore_id: str, point: str) -> Action:
    """Rows, to be compared with those of a restore. A backup is none the worse without: then the result is None."""

    async def action(step: Step) -> dict[str, Any] | None:
        subject = await Subject.load(services, datastore_id)
        if not isinstance(subject.engine, Proves):
            return None
        try:
            return await subject.engine.count(services.channel, await subject.cluster(), point, step.token)
        except (CcxError, Transient) as error:
            log.warning("rows are not counted", datastore=subject.datastore.short_id, reason=str(error))
            return None

    return action


def read_back(services: Services, datastore_id: str, name: str, backup: dict[str, Any]) -> Action:
    """Reads what was just backed up, unless that is much; its result is as :func:`read_through`'s, or None."""

    async def action(step: Step) -> dict[str, Any] | None:
        subject = await Subject.load(services, datastore_id)
        if not isinstance(subject.engine, Proves):
            return None
        async with services.sessions() as tx:
            known, _ = await stored.of(tx, subject.datastore.id)
        if backup["stored"] + _stored_below(backup["parent"], known) > _READ_AT_ONCE:
            return None
        try:
            found: dict[str, Any] = await read_through(services, datastore_id, name, backup["id"])(step)
        except (CcxError, Transient) as error:
            log.warning("a backup is not verified", datastore=subject.datastore.short_id, reason=str(error))
            return None
        return found

    return action


def _stored_below(label: str | None, known: list[Backup]) -> int:
    by_label = {one.label: one for one in known}
    total = 0
    while label is not None and label in by_label:
        total, label = total + by_label[label].stored, by_label[label].parent
    return total


def read_through(services: Services, datastore_id: str, name: str, label: str | None = None) -> Action:
    """Has that backup, or everything, read; its result is for :func:`record`. ``name``: of this reading, for nodes."""

    async def action(step: Step) -> dict[str, Any]:
        subject = await Subject.load(services, datastore_id)

        async def report(progress: dict[str, Any]) -> None:
            await step.progress(progress["done"], progress.get("total"), progress.get("unit"), "reading the store")

        engine = engine_of(subject)
        found = await engine.read_through(services.channel, await subject.cluster(), name, label, step.token, report)
        ends = {} if label is not None else await _ends(subject, found)
        # Of one backup, only its own log was read: nothing is known of that which those below it need.
        checked = list(found.checked) if label is None else [label, *found.damaged]
        return {
            "checked": checked, "damaged": dict(found.damaged), "log": found.log,
            "damaged_log": dict(found.damaged_log), "ends": ends, "all": label is None,
            "until": {one: at.isoformat() for one, at in found.until.items()},
        }  # fmt: skip

    return action


async def _ends(subject: Subject, found: Findings) -> dict[str, str]:
    """When the last segment before each gap of the log came into the store."""
    services, datastore = subject.services, subject.datastore
    async with services.sessions() as tx:
        known, _ = await stored.of(tx, datastore.id)
    told = {label: at.isoformat() for label, at in found.until.items()}
    wanted = {one.log_ends for one in soundness.judge(known, found).values() if one.log_ends} - set(told)
    cloud = services.settings.cloud(datastore.cloud)
    if not wanted or cloud is None:
        return told
    store = open_store(cloud, services.settings)
    try:
        archive = branches.archive_name(datastore.short_id, datastore.branch)
        objects = await store.list(f"{repositories.prefix(datastore)}archive/{archive}/")
    finally:
        await store.close()
    return told | {
        segment: entry.modified.isoformat()
        for entry in objects
        for segment in wanted
        if entry.key.rsplit("/", 1)[-1].startswith(segment) and not entry.key.endswith(".backup")
    }


def record(services: Services, datastore_id: str, told: dict[str, Any] | None) -> TransactionBody:
    """Remembers what reading found. Where no later time than a gap can be restored, a new full backup is made.

    Its result is what is wrong, by backup.
    """

    async def action(tx: AsyncSession) -> dict[str, str]:
        if told is None:
            return {}
        found = Findings(
            checked=tuple(told["checked"]), damaged=told["damaged"],
            log=tuple((first, last) for first, last in told["log"]), damaged_log=told["damaged_log"],
            until={label: datetime.fromisoformat(at) for label, at in told.get("until", {}).items()},
        )  # fmt: skip
        datastore = await datastores.get(tx, UUID(datastore_id))
        known, _ = await stored.of(tx, datastore.id)
        judged = soundness.judge(known, found)
        for backup in known:
            if (verdict := judged.get(backup.label)) is None:
                continue
            backup.verified_at, backup.unusable = utc_now(), verdict.unusable
            if told["all"]:
                end = told["ends"].get(verdict.log_ends)
                backup.log_until = datetime.fromisoformat(end) if end else None
        wrong = {backup.label: backup.unusable for backup in known if backup.unusable}
        newest = judged.get(known[0].label) if known else None
        if newest and (newest.unusable or newest.log_ends) and datastore.desired is Desired.PRESENT:
            await jobs.enqueue(
                tx, "backup_datastore", key=datastore_id, args={"datastore_id": datastore_id, "kind": Kind.FULL.value},
                owner=(datastore.owner_type, datastore.owner_id), label=HEALING, dedup=True,
                run_at=utc_now() + _HEALED_AFTER,
            )  # fmt: skip
        return wrong

    return action
