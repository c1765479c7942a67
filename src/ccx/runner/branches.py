"""The branches of a datastore's history. Pure.

A restore in place begins a new branch: other nodes, which go on from a moment of the branch that they were restored
from, and have a log and backups of their own in the store. So whatever becomes of the former ones, the two never
write the same, and each moment of both can be restored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ccx.db import utc_now
from ccx.stores.models import Datastore

PREPARING, SWITCHING, KEPT = "preparing", "switching", "kept"
"""States of a restore in place: the new nodes are made; they take over; they have, and the former ones are kept."""


@dataclass(frozen=True)
class Stretch:
    """A part of a branch's past: what it has of ``branch``, which may be itself or one that it came from."""

    branch: int
    until: datetime | None
    """Backups that ended later are of another past. None: there is no such."""
    timeline: int
    """The first of the engine's timelines that is this branch's; earlier ones are in the branch before."""


def archive_name(short_id: str, branch: int) -> str:
    """What a branch's log and backups are called in the store."""
    return f"{short_id}-{branch}" if branch else short_id


def past(datastore: Datastore, branch: int) -> list[Stretch]:
    """The branch itself and all that it came from, newest first."""
    begun: Mapping[int, Mapping[str, Any]] = {one["number"]: one for one in datastore.branches}
    until: datetime | None = None
    stretches = []
    while branch in begun:
        one = begun[branch]
        stretches.append(Stretch(branch, until, one["timeline"] or 0))
        forked = datetime.fromisoformat(one["until"])
        until = forked if until is None else min(until, forked)
        branch = one["of"]
    return [*stretches, Stretch(branch, until, 0)]


def path(datastore: Datastore, base: int, branch: int) -> list[tuple[int, str]]:
    """How recovery gets from a backup of ``base`` to ``branch``: from which timeline on it reads which log."""
    stretches = past(datastore, branch)
    names = [s.branch for s in stretches]
    assert base in names, f"branch {branch} did not come from {base}"
    used = reversed(stretches[: names.index(base) + 1])
    return [(s.timeline if s.branch != base else 0, archive_name(datastore.short_id, s.branch)) for s in used]


def at(datastore: Datastore, moment: datetime) -> int:
    """The branch that served then."""
    serving = 0
    for since, branch in datastore.served:
        if datetime.fromisoformat(since) <= moment:
            serving = branch
    return serving


def begin(datastore: Datastore, of: int, until: datetime) -> int:
    """Adds a branch that is to come from the branch ``of``, as it was at ``until``; its number was never in use."""
    number = 1 + max((one["number"] for one in datastore.branches), default=0)
    new = {"number": number, "of": of, "until": until.isoformat(), "timeline": None}
    datastore.branches = [*datastore.branches, new]
    return number


def began(datastore: Datastore, number: int, timeline: int) -> None:
    """It is there: from this timeline on, the log is its own."""
    datastore.branches = [
        {**one, "timeline": timeline} if one["number"] == number else one for one in datastore.branches
    ]


def serve(datastore: Datastore, number: int) -> None:
    """From now on the datastore is this branch."""
    datastore.branch = number
    datastore.served = [*datastore.served, [utc_now().isoformat(), number]]


def unserve(datastore: Datastore, number: int) -> None:
    """As if the last :func:`serve` had not been; it served ``number`` before."""
    datastore.branch = number
    datastore.served = datastore.served[:-1]


def state(datastore: Datastore) -> str | None:
    """Of the restore in place that is under way or not confirmed; None: there is no such."""
    return datastore.restoring["state"] if datastore.restoring else None


def in_words(datastore: Datastore) -> str:
    """For its owner: what becomes of the data of before a restore in place; empty while there is no such."""
    plan, now = datastore.restoring or {}, state(datastore)
    if now == PREPARING:
        return "it is being restored in place: what was there before serves until the restored data take over"
    if now != KEPT or datastore.branch != plan["branch"]:
        return ""
    until = datetime.fromisoformat(plan["kept_until"])
    return (
        f"it was restored in place: what was there before is kept, turned off, until {until:%Y-%m-%d %H:%M} UTC; "
        "ccx backup confirm-restore removes it sooner, ccx backup undo-restore goes back to it"
    )
