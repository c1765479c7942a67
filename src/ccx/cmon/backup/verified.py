"""What ``pgbackrest verify`` printed, at its most talkative. It ends with success whatever it finds."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ccx.cmon.backup.base import Findings

_WRONG = re.compile(
    r"INFO: (?P<what>file missing|invalid checksum|invalid size|invalid result) '?(?P<path>[^':]+)'?(?:: (?P<why>.*))?"
)
_LOG = re.compile(r"wal start: ([0-9A-F]{24}), wal stop: ([0-9A-F]{24})")
_BACKUP = re.compile(r"backup: (\S+), status: ([^,]+),")
_SEGMENT = re.compile(r"/([0-9A-F]{24})(?:-[0-9a-f]{40})?")
_WORDS = {
    "file missing": "is missing",
    "invalid checksum": "has another checksum than when it was written",
    "invalid size": "has another size than when it was written",
    "invalid result": "can't be read",
}
_USELESS = ("invalid", "manifest missing")
_NAMED = 3
"""Objects that a reason names."""


def findings(printed: Iterable[str]) -> Findings:
    """By backup and by segment of the log, with the objects that are wrong."""
    wrong: dict[str, dict[str, str]] = {}
    damaged_log: dict[str, str] = {}
    log: list[tuple[str, str]] = []
    statuses: dict[str, str] = {}
    for line in printed:
        if (about := _WRONG.search(line)) is not None:
            path, what = about["path"].strip(), _WORDS[about["what"]]
            if (segment := _SEGMENT.search(f"/{path.rsplit('/', 1)[-1]}")) and path.count("/") == 2:
                damaged_log[segment[1]] = f"{path} {what}"
            else:
                wrong.setdefault(path.split("/", 1)[0], {})[path] = what
        elif (reach := _LOG.search(line)) is not None:
            log.append((reach[1], reach[2]))
        elif (told := _BACKUP.search(line)) is not None:
            statuses[told[1]] = told[2].strip()
    damaged = {label: _reason(objects) for label, objects in wrong.items()}
    for label, status in statuses.items():
        if status in _USELESS and label not in damaged:
            damaged[label] = f"{label}/backup.manifest is missing" if status != "invalid" else "it is not whole"
    checked = tuple(label for label, status in statuses.items() if status != "in-progress")
    return Findings(checked=checked, damaged=damaged, log=tuple(log), damaged_log=damaged_log)


def _reason(objects: dict[str, str]) -> str:
    named = "; ".join(f"{path} {what}" for path, what in list(objects.items())[:_NAMED])
    more = len(objects) - _NAMED
    return f"{named}; and {more} more" if more > 0 else named
