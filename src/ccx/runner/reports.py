"""What can be said of a datastore's backups: what is proved, how much could be lost, how long a recovery takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ccx.runner import windows
from ccx.stores.models import Backup, Datastore


@dataclass(frozen=True)
class Report:
    backups: int
    """Complete ones in the store."""
    usable: int
    """Of them, those that can be restored as far as is known."""
    newest: datetime | None
    """When the newest usable one ended."""
    verified: datetime | None
    """When the newest usable one was last read through."""
    proved_backup: str | None
    """The newest that a drill restored and found good."""
    proved: datetime | None
    """When that was."""
    recovery_seconds: float | None
    """From that drill's order until what it restored served."""
    drilled: datetime | None
    """When the last drill ended, good or bad."""
    drill_err: str | None
    """Why the last drill failed."""
    recovery_point: datetime | None
    """When the newest part of the log came into the store: what was committed before can be restored."""
    failed: dict[str, Any] | None
    """The last backup's failure, until one succeeds: ``at``, ``err``, ``again``."""


def report(datastore: Datastore, backups: Sequence[Backup]) -> Report:
    """Of all the datastore's backups. Pure."""
    usable = sorted(
        (one for one in backups if windows.is_whole(one, backups)), key=lambda one: one.ended_at, reverse=True
    )
    drills = sorted((_drill(one) for one in backups if one.drill), key=lambda drill: drill[0])
    good = [drill for drill in drills if drill[2]["proved"]]
    last, proved = drills[-1] if drills else None, good[-1] if good else None
    return Report(
        backups=len(backups),
        usable=len(usable),
        newest=usable[0].ended_at if usable else None,
        verified=usable[0].verified_at if usable else None,
        proved_backup=proved[1] if proved else None,
        proved=proved[0] if proved else None,
        recovery_seconds=proved[2].get("seconds") if proved else None,
        drilled=last[0] if last else None,
        drill_err=last[2].get("err") if last and not last[2]["proved"] else None,
        recovery_point=datastore.archived_at,
        failed=datastore.backup_failed,
    )


def when(text: str | None) -> datetime | None:
    """A time as JSON keeps it."""
    return datetime.fromisoformat(text) if text else None


def _drill(backup: Backup) -> tuple[datetime, str, dict[str, Any]]:
    assert backup.drill is not None
    return datetime.fromisoformat(backup.drill["at"]), backup.label, backup.drill
