"""To which times a datastore can be restored, and from which of its backups."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ccx.db import utc_now
from ccx.errors import Invalid, NotFound
from ccx.runner import repositories
from ccx.runner.services import Services
from ccx.storage.base import StoredObject
from ccx.storage.opened import open_store
from ccx.stores.models import Backup, Datastore, Status

_PATIENCE_S = 5
_WHOLE = timedelta(seconds=1)
"""A backup's end is known to the second."""
_LOG = re.compile(r"/[0-9A-F]{24}-[0-9a-f]{40}(?:-[0-9A-F]{16}-(?P<until>[0-9a-f]+)-)?")
"""A part of the log: PostgreSQL's, and MariaDB's and MySQL's, which says when it was closed."""
_SERVES = (Status.STARTED, Status.DEGRADED)
_GIB = 2**30
_ROOM = 2 * _GIB
"""For the log that is replayed, and what the database writes from then on."""


@dataclass(frozen=True)
class Window:
    """Any time from ``start`` to ``end`` can be restored to."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{_shown(self.start)} to {_shown(self.end)}"


async def window(services: Services, datastore: Datastore, backups: Sequence[Backup]) -> Window:
    """Of a datastore with these backups. Raises NotFound where there is none, Transient when the store is silent."""
    start = min(backup.ended_at for backup in usable(datastore, backups)) + _WHOLE
    if (broken_off := newest(datastore, backups).log_until) is not None:
        return Window(start, max(start, broken_off))
    # One that serves is asked to archive its log before anything else; of another, what is in the store is all.
    end = utc_now() if datastore.status in _SERVES else await archived(services, datastore)
    return Window(start, max(start, end))


def newest(datastore: Datastore, backups: Sequence[Backup]) -> Backup:
    """The newest of the datastore's backups that are whole. Raises NotFound where there is none."""
    return max(usable(datastore, backups), key=lambda backup: backup.ended_at)


def usable(datastore: Datastore, backups: Sequence[Backup]) -> list[Backup]:
    """Those that can be restored, as far as is known. Raises NotFound where there is none."""
    usable = [backup for backup in backups if is_whole(backup, backups)]
    if not usable:
        raise NotFound(f"there is no backup of {datastore.name} to restore", remedy="Make one: ccx backup create")
    return usable


async def archived(services: Services, datastore: Datastore) -> datetime:
    """Up to when its log is in the store: when the newest part of it came there, or was closed if that is told.

    One that waited for the store has nothing of what was written while it waited.
    """
    store = open_store(repositories.cloud_of(services, datastore), services.settings, patience=_PATIENCE_S)
    try:
        found = await store.list(f"{repositories.prefix(datastore)}archive/")
    finally:
        await store.close()
    reached = [_reached(one, part) for one in found if (part := _LOG.search(one.key))]
    return max(reached, default=datetime.min.replace(tzinfo=UTC))


def _reached(stored: StoredObject, part: re.Match[str]) -> datetime:
    """All that was committed up to then is there. The name tells the second behind the one in which it was closed."""
    if part["until"] is None:
        return stored.modified
    return min(stored.modified, datetime.fromtimestamp(int(part["until"], 16) - 1, UTC))


def is_whole(backup: Backup, backups: Sequence[Backup]) -> bool:
    """Whether it, and all that it builds on, is there without damage, as far as is known."""
    by_label = {one.label: one for one in backups}
    following: Backup | None = backup
    while following is not None and following.good and following.unusable is None:
        if following.parent is None:
            return True
        following = by_label.get(following.parent)
    return False


def choose(backups: Sequence[Backup], found: Window, label: str | None, to: datetime | None) -> Backup:
    """The backup to begin with: that one, or the newest that ended before ``to``. Raises Invalid, NotFound."""
    if label is not None:
        named = next((backup for backup in backups if backup.label == label), None)
        if named is None:
            raise NotFound(f"there is no backup {label}", field="backup_id", remedy="List them: ccx backup list")
        _check_usable(named, backups)
        there = [named]
    else:
        there = [backup for backup in backups if is_whole(backup, backups)]
    if to is not None:
        _check_time(found, to, there[0] if label is not None else None)
    there = _reaching(there, to)
    if to is not None:
        _check_gap(there, to)
    return max(there, key=lambda backup: backup.ended_at)


def _reaching(whole: Sequence[Backup], to: datetime | None) -> list[Backup]:
    """Those that ended before it. Other branches' backups may make the window wider than these reach."""
    there = [backup for backup in whole if to is None or backup.ended_at + _WHOLE <= to]
    if not whole:
        raise NotFound("no backup that is whole leads there", remedy="Make one: ccx backup create")
    if to is not None and not there:
        first = min(backup.ended_at for backup in whole) + _WHOLE
        raise Invalid(
            f"no backup reaches to {_shown(to)}", field="pitr_stop_time", remedy=f"Choose a time after {_shown(first)}"
        )
    return there


def _check_time(found: Window, to: datetime, named: Backup | None) -> None:
    field, remedy = "pitr_stop_time", f"Choose a time from {found}"
    if to > found.end:
        raise Invalid(f"the log ends at {_shown(found.end)}, before {_shown(to)}", field=field, remedy=remedy)
    if to < found.start:
        raise Invalid(
            f"the first backup ended at {_shown(found.start)}, after {_shown(to)}", field=field, remedy=remedy
        )
    if named is not None and to < named.ended_at + _WHOLE:
        raise Invalid(
            f"the backup {named.label} ended at {_shown(named.ended_at)}, after {_shown(to)}",
            field=field,
            remedy="Choose a later time, or no backup: the right one is found",
        )


def _check_usable(named: Backup, backups: Sequence[Backup]) -> None:
    """One with a page whose checksum is wrong may be asked for: it is all there, and perhaps all that there is."""
    by_label = {one.label: one for one in backups}
    following: Backup | None = named
    while following is not None:
        if following.unusable is not None:
            raise Invalid(
                f"the backup {named.label} can't be restored: {following.unusable}",
                field="backup_id",
                remedy="Choose another: ccx backup list",
            )
        following = by_label.get(following.parent) if following.parent is not None else None


def _check_gap(backups: Sequence[Backup], to: datetime) -> None:
    """The log of the one to begin with has to reach to the time."""
    chosen = max(backups, key=lambda backup: backup.ended_at)
    if chosen.log_until is not None and to > chosen.log_until:
        raise Invalid(
            f"the log behind the backup {chosen.label} has a gap after {_shown(chosen.log_until)}",
            field="pitr_stop_time",
            remedy=f"Choose a time from {Window(chosen.ended_at + _WHOLE, chosen.log_until)}, or after the next backup",
        )


def check_room(backup: Backup, volume_size: int) -> None:
    """Raises Invalid for volumes (GiB) that can't hold what was backed up."""
    needed = -(-(backup.size + backup.size // 10 + _ROOM) // _GIB)
    if volume_size < needed:
        raise Invalid(
            f"volumes of {volume_size} GiB can't hold it: the database had {backup.size / _GIB:.1f} GiB",
            field="volume_size",
            remedy=f"Choose at least {needed} GiB",
        )


def _shown(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
