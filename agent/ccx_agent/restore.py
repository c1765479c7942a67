"""How far a restore is that Patroni runs here, and why it failed."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from .data import MOUNT
from .process import output
from .verb import Args, Progress, Verb, number

STATE = MOUNT / "pgbackrest" / "restore"
"""What the script says that Patroni calls: ``restored``, ``failed``; absent while it copies."""

_SEGMENT = 16 * 2**20
_RECOVERING = re.compile(r"startup recovering ([0-9A-F]{24})")
_BLAMED = re.compile(r"(?:ERROR|FATAL): +(.+)")
_USUAL = ("the database system is", "terminating connection", "shutting down")
"""FATAL by PostgreSQL's word, and no reason for anything."""


def state(args: Args, progress: Progress) -> dict[str, object]:
    """``absent``; ``restoring`` or ``recovering`` with ``done`` bytes and a ``note``; ``failed`` with the reason.

    Looks again each second for so many seconds (``watch``), unless it has failed.
    """
    deadline = time.monotonic() + number(args, "watch", 0)
    while (seen := _look())["state"] != "failed" and time.monotonic() < deadline:
        progress(seen)
        time.sleep(1)
    return seen


def _look() -> dict[str, object]:
    said = STATE.read_text().strip() if STATE.exists() else ""
    if said == "failed":
        journal = output(["journalctl", "-q", "-o", "cat", "-u", "ccx-patroni.service"])
        return {"state": "failed", "err": reason(journal)}
    room = os.statvfs(MOUNT)
    used = room.f_frsize * (room.f_blocks - room.f_bfree)
    if said == "restored":
        segment = replayed(output(["ps", "-e", "-o", "args"]))
        done = used + int(segment[8:16], 16) * 2**32 + int(segment[16:], 16) * _SEGMENT if segment else used
        return {"state": "recovering", "done": done, "note": f"replaying the log: {segment or 'its end'}"}
    return {"state": "restoring" if _copies() else "absent", "done": used, "note": "copying the backup"}


def replayed(processes: str) -> str:
    """The segment of the log that PostgreSQL replays, by its process's title."""
    found = _RECOVERING.search(processes)
    return found[1] if found else ""


def reason(journal: str) -> str:
    """The last complaint of pgBackRest or PostgreSQL."""
    blamed = [found[1] for found in _BLAMED.finditer(journal) if not found[1].startswith(_USUAL)]
    return blamed[-1][:500] if blamed else "no word why"


def _copies() -> bool:
    commands = (line.split() for line in output(["ps", "-e", "-o", "args"]).splitlines())
    return any(words and Path(words[0]).name == "pgbackrest" and "restore" in words for words in commands)


VERBS = {"restore-state": Verb(state, mutates=False)}
