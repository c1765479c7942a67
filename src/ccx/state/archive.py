"""What is to be said of a log that does not get into the object store, and of the volume that it fills. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from ccx.cmon.backup import ArchiveState

LATE = 45.0
"""Seconds that a part of the log may wait for the object store before we speak of it: one that restarts takes 24."""

FILLS = 0.7
"""Of a volume in use: from here on the log that waits on it is named as what fills it, whenever that will be."""

SOON = 4 * 3600.0
"""Seconds until the volume is full: from here on too, however much is free yet."""

_OVER_S = 600.0


class Filling:
    """How soon a volume is full, by how its free space shrank of late."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque()

    def after(self, at: float, free: int) -> float | None:
        """Seconds, with this reading of ``free`` bytes; ``None`` while it doesn't shrink, or as nobody can tell yet."""
        readings = self._readings
        readings.append((at, free))
        while len(readings) > 2 and at - readings[0][0] > _OVER_S:
            readings.popleft()
        since, before = readings[0]
        if at - since < 10 or free >= before:
            return None
        return free * (at - since) / (before - free)


@dataclass(frozen=True)
class Gap:
    """Parts of the log that were given up, and are nowhere any more."""

    since: datetime
    last: datetime
    """When the newest of them was."""

    def behind(self, full: datetime | None) -> Gap | None:
        """What of it the newest full backup, which began then, does not make up for: None where it began later.

        Nodes note to the second: what was given up in the one in which it began may be behind it.
        """
        if full is None:
            return self
        began = full.replace(microsecond=0)
        return Gap(max(self.since, began), self.last) if began <= self.last else None


def told(archive: ArchiveState) -> Gap | None:
    """What the primary's node says of it. Other nodes may have noted more."""
    if archive.given_up_since is None or archive.given_up_last is None:
        return None
    return Gap(archive.given_up_since, archive.given_up_last)


def joined(known: Gap | None, news: Gap, full: datetime | None) -> Gap | None:
    """What is known with these news: the newest is never forgotten, and the first as long as it is not made up for."""
    former, more = known.behind(full) if known is not None else None, news.behind(full)
    if former is None or more is None:
        return more or known
    return Gap(min(former.since, more.since), max(former.last, more.last))


def reasons(archive: ArchiveState, full_in: float | None = None, gap: Gap | None = None) -> list[str]:
    """Why the datastore isn't as it should be, in a user's words; empty while all is well.

    ``full_in``: in how many seconds the volume is full if this goes on. ``gap``: what no full backup makes up for.
    """
    said = []
    if archive.waits > LATE:
        said.append(
            f"the log has not got into the object store for {_since(archive.waits)}: what was written since can't be "
            f"restored, and {_volume(archive, full_in)}"
        )
    if gap is not None:
        said.append(
            f"{_given_up(archive, gap)}, because they had nearly filled the volume while the object store didn't take "
            "them, or the node that had them was lost meanwhile: no later time can be restored before the next full "
            "backup, which is made by itself"
        )
    return said


def _given_up(archive: ArchiveState, gap: Gap) -> str:
    """How many only where the primary's node noted all of them; of a former primary's nobody knows."""
    noted = told(archive)
    all_of_it = noted is not None and noted.since == gap.since and noted.last >= gap.last
    return (
        f"{f'{archive.given_up} segments' if all_of_it else 'parts'} of the log were given up from "
        f"{gap.since:%Y-%m-%d %H:%M} UTC on"
    )


def _volume(archive: ArchiveState, full_in: float | None) -> str:
    if not archive.volume:
        return "the volume fills"
    used = 1 - archive.free / archive.volume
    soon = f", full in about {_about(full_in)} at this rate" if full_in is not None else ""
    waiting = f"{_size(archive.waiting)} of it wait on the volume"
    if used < FILLS and (full_in is None or full_in > SOON):
        return f"{waiting}, which is {used:.0%} full{soon}"
    return f"the volume fills because of that: {waiting}, which is {used:.0%} full ({_size(archive.free)} free){soon}"


def _since(seconds: float) -> str:
    return f"{seconds // 60:.0f} min" if seconds >= 60 else f"more than {LATE:.0f} s"


def _about(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.0f} hours"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
