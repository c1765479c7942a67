"""Which backups are no longer kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Protocol

from ccx.runner import branches
from ccx.stores.models import Backup, Datastore


class Kept(Protocol):
    """What is asked of a backup; rows of the stores have it."""

    @property
    def label(self) -> str: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def ended_at(self) -> datetime: ...
    @property
    def good(self) -> bool: ...
    @property
    def unusable(self) -> str | None: ...


def removable(
    backups: Sequence[Kept], now: datetime, days: int, count: int, also: Sequence[datetime] = ()
) -> list[str]:
    """Labels of those that go, oldest first.

    Kept are the newest ``count`` full backups that can be restored, and what is needed to restore to any time of the
    last ``days``; with what builds on them, with what they build on, and with all that is newer. 0 asks for nothing.
    What can't be restored is neither counted nor relied on, and never the reason that the last good one goes.
    ``also``: moments that are still to be restored to, however old they are.
    """
    chains = sorted(_chains(backups), key=lambda chain: chain[0].ended_at)
    usable = [chain for chain in chains if chain[0].parent is None and _whole(chain[:1])]
    if not usable or not (days or count):
        return []
    wanted: list[Sequence[Kept]] = [usable[-1], *usable[-count:]] if count else [usable[-1]]
    moments = [now - timedelta(days=days), *also] if days else also
    wanted += [_reaching_back_to(moment, usable) for moment in moments]
    oldest = min(chain[0].ended_at for chain in wanted)
    return [one.label for chain in chains if chain[0].ended_at < oldest for one in chain]


def _reaching_back_to(moment: datetime, usable: Sequence[Sequence[Kept]]) -> Sequence[Kept]:
    """The newest chain from which that moment can be restored; the oldest, where none reaches so far back."""
    reaching = [chain for chain in usable if _first_end(chain) <= moment]
    return reaching[-1] if reaching else usable[0]


def _first_end(chain: Sequence[Kept]) -> datetime:
    return chain[0].ended_at


def _whole(chain: Iterable[Kept]) -> bool:
    return all(one.good and one.unusable is None for one in chain)


def _chains(backups: Sequence[Kept]) -> list[list[Kept]]:
    """Each full backup with all that builds on it; what builds on one that is not there is a chain of its own."""
    known = {one.label: one for one in backups}
    chains: dict[str, list[Kept]] = {}
    for one in sorted(backups, key=lambda one: (one.ended_at, one.label)):
        root, seen = one, {one.label}
        while root.parent is not None and root.parent in known and root.parent not in seen:
            root = known[root.parent]
            seen.add(root.label)
        chains.setdefault(root.label, []).append(one)
    return [sorted(chain, key=lambda one: one.label != label) for label, chain in chains.items()]


def expiring(
    datastore: Datastore, own: Sequence[Kept], backups: Sequence[Backup], now: datetime, days: int, count: int
) -> list[str]:
    """Labels of those of the branch that serves, its ``own``, that go: by the same rule, over those of all branches.

    A restore in place that was taken back may have gone on from a moment of it that is long past: until the time goes
    in which that served, what leads there stays.
    """
    if not days:
        return removable(own, now, days, count)
    forks = []
    for moment, branch in _serving(datastore, now - timedelta(days=days)):
        way = _way(datastore, backups, branch, moment)
        if branch == datastore.branch or datastore.branch not in way:
            continue
        if way[-1] != datastore.branch:  # all of its log leads there, and the beginning would go with the oldest backup
            return []
        until = next(one.until for one in branches.past(datastore, branch) if one.branch == datastore.branch)
        forks.append(min(moment, until or moment))
    return removable(own, now, days, count, forks)


def former(datastore: Datastore, backups: Sequence[Backup], now: datetime, days: int, count: int) -> list[int]:
    """Branches that go whole, log and backups: by the same rule, over the backups of all branches together.

    One goes when each of its backups does, nothing of it is locked, and no moment of the last ``days`` needs it. Its
    log may still be the way from an older branch's backup to a later branch: then it stays until the older one goes.
    All stay while the data of before a restore in place are there.
    """
    if datastore.restoring is not None or not (days or count):
        return []
    removed, every = set(removable(backups, now, days, count)), [0, *(one["number"] for one in datastore.branches)]
    needed = _needed(datastore, backups, now - timedelta(days=days))
    over = {
        number for number in every
        if number not in needed
        and all(b.label in removed and (b.locked_until is None or b.locked_until <= now) for b in _of(backups, number))
    }  # fmt: skip
    leading = {number for later in every if later not in over for number in _past(datastore, later)}
    going: list[int] = []
    for number in sorted(over):  # what a branch came from has a lower number
        if number not in leading or all(older in going for older in _past(datastore, number)[1:]):
            going.append(number)
    return going


def _of(backups: Sequence[Backup], branch: int) -> list[Backup]:
    return [one for one in backups if one.branch == branch]


def _past(datastore: Datastore, branch: int) -> list[int]:
    return [stretch.branch for stretch in branches.past(datastore, branch)]


def _needed(datastore: Datastore, backups: Sequence[Backup], oldest: datetime) -> set[int]:
    """Branches that served since then, and those by which recovery gets to each from before its own first backup."""
    serving = _serving(datastore, oldest)
    return {number for moment, branch in serving for number in _way(datastore, backups, branch, moment)}


def _serving(datastore: Datastore, oldest: datetime) -> list[tuple[datetime, int]]:
    """Which branch served from when on, since ``oldest``."""
    served = [(oldest, 0), *((datetime.fromisoformat(since), branch) for since, branch in datastore.served)]
    ends = [since for since, _ in served[1:]]
    return [
        (max(since, oldest), branch)
        for (since, branch), end in zip_longest(served, ends)
        if end is None or end > oldest
    ]  # fmt: skip


def _way(datastore: Datastore, backups: Sequence[Backup], branch: int, moment: datetime) -> list[int]:
    """The branches that a restore of that one to the moment reads, as far as a full backup leads there."""
    past = branches.past(datastore, branch)
    full = [b for b in backups if b.parent is None and _whole([b]) and b.ended_at <= moment]
    for place, stretch in enumerate(past):
        if any(stretch.until is None or b.ended_at <= stretch.until for b in _of(full, stretch.branch)):
            return [one.branch for one in past[: place + 1]]
    return [branch]
