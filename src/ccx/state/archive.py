"""What is to be said of a log that does not get into the object store, and of the volume that it fills. Pure."""

from __future__ import annotations

from collections import deque

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


def reasons(archive: ArchiveState, full_in: float | None = None) -> list[str]:
    """Why the datastore isn't as it should be, in a user's words; empty while all is well.

    ``full_in``: in how many seconds the volume is full if this goes on.
    """
    said = []
    if archive.waits > LATE:
        said.append(
            f"the log has not got into the object store for {_since(archive.waits)}: what was written since can't be "
            f"restored, and {_volume(archive, full_in)}"
        )
    if archive.given_up:
        first = archive.given_up_since
        said.append(
            f"{archive.given_up} segments of the log were given up"
            + (f" from {first:%Y-%m-%d %H:%M} UTC on" if first else "")
            + ", because they had nearly filled the volume while the object store didn't take them, or the node that "
            "had them was lost meanwhile: no later time can be restored before the next full backup, which is made by "
            "itself"
        )
    return said


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
