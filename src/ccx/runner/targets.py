"""What a restore begins with and how far it goes: to now, a time, or just before a place in the log or a transaction.

Of a datastore that was restored in place before, the branch that served at that time is meant.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ccx.cmon.backup import HandsOver
from ccx.db import utc_now
from ccx.errors import CcxError, Invalid, NotFound, Transient
from ccx.runner import branches, repositories, windows
from ccx.runner.services import Services
from ccx.runner.subject import Subject
from ccx.runner.windows import Window
from ccx.stores.models import Backup, Datastore, Status

_ASKED_WITHIN_S = 5.0
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_GTID = re.compile(r"\d{1,10}-\d{1,10}-(\d{1,19})")
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
    if target.lsn is not None:
        backup = await _before_lsn(services, datastore, there, target.lsn, target.backup)
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
        "before_lsn": target.lsn.upper() if target.lsn else None,
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


def place(lsn: str) -> int:
    """A place in the log, PostgreSQL's ``1A/2B3C`` or MariaDB's ``0-10001-57``, as a number. Raises Invalid."""
    if (gtid := _GTID.fullmatch(lsn)) is not None:
        return int(gtid[1])
    found = _LSN.fullmatch(lsn)
    if found is None:
        raise Invalid(
            f"{lsn!r} is no place in the log",
            field="pitr_stop_lsn",
            remedy="Write it as the engine does: 0/3000148 (pg_current_wal_lsn()), or 0-10001-57 (@@gtid_binlog_pos)",
        )
    return int(found[1], 16) << 32 | int(found[2], 16)


async def _before_lsn(
    services: Services, datastore: Datastore, backups: Sequence[Backup], lsn: str, label: str | None
) -> Backup:
    wanted, field = place(lsn), "pitr_stop_lsn"
    # Those of another engine's log are no place in this one's.
    known = [one for one in windows.usable(datastore, backups) if one.lsn and ("/" in one.lsn) == ("/" in lsn)]
    reach = [one for one in known if place(one.lsn or "") <= wanted]
    end = await _position(services, datastore)
    span = _span([one.lsn or "" for one in known], end[0] if end else None, key=place)
    if end is not None and wanted > place(end[0]):
        raise Invalid(f"the log ends at {end[0]}, before {lsn}", field=field, remedy=f"Choose a place from {span}")
    if not reach:
        raise Invalid(f"no backup reaches back to {lsn}", field=field, remedy=f"Choose a place from {span}")
    return _named(reach, backups, label, f"ended behind {lsn}")


async def _before_xid(
    services: Services, datastore: Datastore, backups: Sequence[Backup], xid: int, label: str | None
) -> Backup:
    field = "pitr_stop_xid"
    if not _FIRST_XID <= xid < _XIDS:
        raise Invalid(f"{xid} is no transaction", field=field, remedy="Write its id as pg_current_xact_id() showed it")
    known = [one for one in windows.usable(datastore, backups) if one.xid is not None]
    reach = [one for one in known if (one.xid or 0) <= xid]
    end = await _position(services, datastore)
    span = _span([str(one.xid) for one in known], str(end[1] - 1) if end else None, key=int)
    if end is not None and xid >= end[1]:
        raise Invalid(f"there was no transaction {xid} yet", field=field, remedy=f"Choose one from {span}")
    if not reach:
        raise Invalid(f"no backup is older than transaction {xid}", field=field, remedy=f"Choose one from {span}")
    return _named(reach, backups, label, f"may have ended after transaction {xid}")


def _span(known: Sequence[str], end: str | None, *, key: Any) -> str:
    first = min(known, key=key) if known else "the next backup's end"
    return f"{first} to {end}" if end else f"{first} on"


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
    if datastore.status not in (Status.STARTED, Status.DEGRADED) or not isinstance(subject.engine, HandsOver):
        return None
    try:
        async with asyncio.timeout(_ASKED_WITHIN_S):
            return await subject.engine.log_position(services.channel, await subject.cluster())
    except (CcxError, Transient, TimeoutError):
        return None
