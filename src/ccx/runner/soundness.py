"""What verification found, in terms of backups: which of them can't be restored, and where the log breaks off. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ccx.cmon.backup import Findings
from ccx.stores.models import Backup

Segment = tuple[int, int]
"""Timeline and number of a segment of the log."""


@dataclass(frozen=True)
class Judged:
    unusable: str | None
    """Why the backup can't be restored."""
    log_ends: str | None = None
    """The last segment of the log before a gap behind it, or the backup itself where ``Findings.until`` has it.

    None: there is no gap.
    """


def judge(backups: Sequence[Backup], found: Findings) -> dict[str, Judged]:
    """Of each backup that was looked at, by label."""
    by_label = {backup.label: backup for backup in backups}
    return {backup.label: _judge(backup, by_label, found) for backup in backups if backup.label in found.checked}


def _judge(backup: Backup, known: Mapping[str, Backup], found: Findings) -> Judged:
    for one in _ancestry(backup, known):
        if one in found.damaged:
            blamed = "" if one == backup.label else f"it builds on {one}: "
            return Judged(f"{blamed}{found.damaged[one]}")
    if backup.label in found.until:
        return Judged(None, backup.label)
    if backup.wal_first is None or backup.wal_last is None:
        return Judged(None)
    first, last = _number(backup.wal_first), _number(backup.wal_last)
    reached, why = _walk(first, found)
    if why is None:
        return Judged(None)
    if reached is None or reached[1] < last[1]:
        return Judged(f"the log that it needs is not whole: {why}")
    return Judged(None, _name(reached))


def _ancestry(backup: Backup, known: Mapping[str, Backup]) -> list[str]:
    """The backup and all that it builds on, by label."""
    found: list[str] = []
    following: str | None = backup.label
    while following is not None and following not in found:
        found.append(following)
        following = known[following].parent if following in known else None
    return found


def _walk(first: Segment, found: Findings) -> tuple[Segment | None, str | None]:
    """From a segment on, along the newest timeline, as recovery does: the last one before a gap, and what is wrong.

    Without a gap the reason is None.
    """
    ranges = sorted((_number(begin), _number(end)) for begin, end in found.log)
    damaged = {_number(segment): what for segment, what in found.damaged_log.items()}
    timeline, number = first
    reached: Segment | None = None
    while True:
        end = next((e[1] for b, e in ranges if b[0] == timeline and b[1] <= number <= e[1]), None)
        if end is None:
            return reached, f"{_name((timeline, number))} is missing"
        following = _next_timeline(timeline, number, ranges)
        switch = following[1] if following and following[1] <= end + 1 else None
        last = end if switch is None else switch - 1
        for at in range(number, last + 1):
            if (timeline, at) in damaged:
                return reached, damaged[timeline, at]
            reached = (timeline, at)
        if switch is not None and following is not None:
            timeline, number = following
        elif any(b[0] >= timeline and b[1] > end for b, _ in ranges):
            return reached, f"{_name((timeline, end + 1))} is missing"
        else:
            return reached, None


def _next_timeline(timeline: int, number: int, ranges: Sequence[tuple[Segment, Segment]]) -> Segment | None:
    """Where the next timeline begins, if it does so at that segment or later."""
    later = sorted({b[0] for b, _ in ranges if b[0] > timeline})
    for one in later:
        begins: int = min(b[1] for b, _ in ranges if b[0] == one)
        if begins >= number:
            return one, begins
    return None


def _number(segment: str) -> Segment:
    """Of a segment's name: timeline, log and place in it, 8 digits each. There are 256 places of 16 MiB in a log."""
    return int(segment[:8], 16), int(segment[8:16], 16) * 256 + int(segment[16:24], 16)


def _name(segment: Segment) -> str:
    timeline, number = segment
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}"
