"""What a restore begins with and how far it goes: to now, a time, or just before a place in the log or a transaction.

Of a datastore that was restored in place before, the branch that served at that time is meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ccx.cmon.backup import NumbersTransactions, TellsPosition
from ccx.db import utc_now
from ccx.errors import CcxError, Invalid, NotFound, Transient
from ccx.runner import branches, places, repositories, windows
from ccx.runner.places import Place
from ccx.runner.services import Services
from ccx.runner.subject import Subject
from ccx.runner.windows import Window
from ccx.stores.models import Backup, Datastore, Status

_ASKED_WITHIN_S = 5.0
_SERVES = (Status.STARTED, Status.DEGRADED)
_FIRST_XID, _XIDS = 3, 2**63


@dataclass(frozen=True)
class Target:
    """How far: at most one of the first three; none: to now, or ``at_once`` as the backup is."""

    time: datetime | None = None
    lsn: str | None = None
    xid: int | None = None
    backup: str | None = None
    """Begin with this one; else with the newest that fits."""
    at_once: bool = False


@dataclass(frozen=True)
class Plan:
    backup: Backup
    branch: int
    """Whose log is followed."""
    until: datetime | None
    """What was committed until then will be there; None: that depends on ``what``."""
    moment: datetime
    """No backup that ended later is of the restored one's past."""
    window: Window
    origin: dict[str, Any]
    """As :func:`ccx.runner.repositories.origin` reads it."""

    @property
    def names(self) -> list[str]:
        """What the logs that are read are called in the store."""
        return [name for _, name in self.origin["path"]]


async def plan(services: Services, datastore: Datastore, backups: Sequence[Backup], target: Target) -> Plan:
    """Raises Invalid, NotFound before anything is made; Transient when the store is silent and has to be asked."""
    named = [name for name in ("time", "lsn", "xid") if getattr(target, name) is not None]
    if len(named) > 1:
        raise Invalid(
            "a time, a place in the log and a transaction exclude each other",
            field=f"pitr_stop_{named[1]}",
            remedy=f"Leave out all but pitr_stop_{named[0]}",
        )
    window = await windows.window(services, datastore, backups)
    if target.time is not None and target.time > utc_now():
        raise Invalid("that time is not yet", field="pitr_stop_time", remedy=f"Choose a time from {window}")
    branch = _branch(datastore, backups, target)
    there = _of_its_past(datastore, branch, backups)
    wanted = places.place(Subject(services, datastore).engine.places, target.lsn) if target.lsn is not None else None
    if wanted is not None:
        backup = await _before_place(services, datastore, there, wanted, target.backup)
    elif target.xid is not None:
        backup = await _before_xid(services, datastore, there, target.xid, target.backup)
    else:
        _check_past(backups, there, target)
        backup = windows.choose(there, window, target.backup, target.time)
    until, moment = _how_far(target, backup, window)
    origin: dict[str, Any] = {
        "backup": backup.label,
        "to": _to(target),
        "path": [list(part) for part in branches.path(datastore, backup.branch, branch)],
        "before_lsn": wanted.name if wanted else None,
        "before_xid": target.xid,
    }
    return Plan(backup, branch, until, moment, window, origin)


def _branch(datastore: Datastore, backups: Sequence[Backup], target: Target) -> int:
    if target.time is not None:
        return branches.at(datastore, target.time)
    if target.at_once:
        return next((one.branch for one in backups if one.label == target.backup), datastore.branch)
    return datastore.branch


def _of_its_past(datastore: Datastore, branch: int, backups: Sequence[Backup]) -> list[Backup]:
    """Those from which the branch's log goes on."""
    until = {stretch.branch: stretch.until for stretch in branches.past(datastore, branch)}
    return [
        one for one in backups
        if one.branch in until and ((limit := until[one.branch]) is None or one.ended_at <= limit)
    ]  # fmt: skip


def _check_past(backups: Sequence[Backup], there: Sequence[Backup], target: Target) -> None:
    labels = {one.label for one in there}
    if target.backup is not None and target.backup not in labels and any(b.label == target.backup for b in backups):
        raise Invalid(
            f"the backup {target.backup} is of another branch: a restore in place lies between it and that time",
            field="backup_id",
            remedy="Leave it out: the right one is found",
        )


def _how_far(target: Target, backup: Backup, window: Window) -> tuple[datetime | None, datetime]:
    if target.time is not None:
        return target.time, target.time
    if target.at_once or target.lsn is not None or target.xid is not None:
        return None, backup.ended_at
    return window.end, window.end


def _to(target: Target) -> str:
    if target.time is not None:
        return target.time.astimezone(UTC).isoformat()
    return repositories.AT_ONCE if target.at_once else repositories.LATEST


async def _before_place(
    services: Services, datastore: Datastore, backups: Sequence[Backup], wanted: Place, label: str | None
) -> Backup:
    field, kind = "pitr_stop_lsn", Subject(services, datastore).engine.places
    known = [(one, places.ends(kind, one.lsn)) for one in windows.usable(datastore, backups) if one.lsn]
    reach = [one for one, ends in known if wanted.reached(ends)]
    end = await _position(services, datastore)
    last = next((one for one in places.ends(kind, end[0]) if one.line == wanted.line), None) if end else None
    every = [end for _, ends in known for end in ends]
    first = min((one for one in every if one.line == wanted.line), key=lambda one: one.number, default=None)
    if wanted.joins and end and last is None:
        raise Invalid(
            f"there is no transaction {wanted.name}: the log has none of {wanted.line}", field=field,
            remedy=f"Choose one that it has: {' '.join(end[0].split())}",
        )  # fmt: skip
    if first is None and every and not wanted.joins:
        raise Invalid(
            f"{wanted.name} is of another history: {wanted.line} is no domain of its transactions", field=field,
            remedy=f"Choose one like {every[-1].name}",
        )  # fmt: skip
    if first is None and known:  # it is of a server that wrote later than all backups
        _, ends = min(known, key=lambda one: one[0].ended_at)
        first = next(iter(ends[-1:]), None)
    span = _span(first.name if first else None, last.name if last else None, inside=wanted.holds)
    if last is not None and wanted.number > last.number:
        raise Invalid(f"the log ends at {last.name}, before {wanted.name}", field=field, remedy=f"Choose {span}")
    if not reach:
        raise Invalid(f"no backup reaches back to {wanted.name}", field=field, remedy=f"Choose {span}")
    if wanted.holds:
        await _check_there(services, datastore, wanted, span)
    return _named(reach, backups, label, f"ended behind {wanted.name}")


async def _check_there(services: Services, datastore: Datastore, wanted: Place, span: str) -> None:
    """Raises Invalid where the history has another transaction in that place; where nobody can say, recovery will."""
    subject = Subject(services, datastore)
    if datastore.status not in _SERVES or not isinstance(subject.engine, NumbersTransactions):
        return
    try:
        async with asyncio.timeout(_ASKED_WITHIN_S):
            found = await subject.engine.transaction_at(services.channel, await subject.cluster(), wanted.number)
    except (CcxError, Transient, TimeoutError):
        return
    if found is not None and found != wanted.name:
        raise Invalid(
            f"there is no transaction {wanted.name}: that number is {found}", field="pitr_stop_lsn",
            remedy=f"Write {found}, if that is the one; or choose {span}",
        )  # fmt: skip


async def _before_xid(
    services: Services, datastore: Datastore, backups: Sequence[Backup], xid: int, label: str | None
) -> Backup:
    field = "pitr_stop_xid"
    if (kind := Subject(services, datastore).engine.places) != "lsn":
        raise Invalid(
            f"{datastore.vendor} has no such ids of transactions", field=field,
            remedy="Name the transaction by its GTID, as pitr_stop_lsn: ccx backup restore --to-lsn "
            + places.example(kind),
        )  # fmt: skip
    if not _FIRST_XID <= xid < _XIDS:
        raise Invalid(f"{xid} is no transaction", field=field, remedy="Write its id as pg_current_xact_id() showed it")
    known = [one for one in windows.usable(datastore, backups) if one.xid is not None]
    reach = [one for one in known if (one.xid or 0) <= xid]
    end = await _position(services, datastore)
    first = min((one.xid or 0 for one in known), default=None)
    span = _span(str(first) if first is not None else None, str(end[1] - 1) if end else None)
    if end is not None and xid >= end[1]:
        raise Invalid(f"there was no transaction {xid} yet", field=field, remedy=f"Choose {span}")
    if not reach:
        raise Invalid(f"no backup is older than transaction {xid}", field=field, remedy=f"Choose {span}")
    return _named(reach, backups, label, f"may have ended after transaction {xid}")


def _span(first: str | None, end: str | None, *, inside: bool = False) -> str:
    """``inside``: the first one is in the oldest backup already."""
    if first is None:
        return "one from the next backup's end on"
    if inside:
        return f"one after {first}, up to {end}" if end else f"one after {first}"
    return f"one from {first} to {end}" if end else f"one from {first} on"


def _named(reach: Sequence[Backup], backups: Sequence[Backup], label: str | None, why_not: str) -> Backup:
    if label is None:
        return max(reach, key=lambda one: one.ended_at)
    if label not in {one.label for one in backups}:
        raise NotFound(f"there is no backup {label}", field="backup_id", remedy="List them: ccx backup list")
    found = next((one for one in reach if one.label == label), None)
    if found is None:
        raise Invalid(f"the backup {label} {why_not}", field="backup_id", remedy="Leave it out: the right one is found")
    return found


async def _position(services: Services, datastore: Datastore) -> tuple[str, int] | None:
    """Where the log ends, and the next transaction; None where nobody can be asked: recovery finds out then."""
    subject = Subject(services, datastore)
    if datastore.status not in _SERVES or not isinstance(subject.engine, TellsPosition):
        return None
    try:
        async with asyncio.timeout(_ASKED_WITHIN_S):
            return await subject.engine.log_position(services.channel, await subject.cluster())
    except (CcxError, Transient, TimeoutError):
        return None
