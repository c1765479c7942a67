"""Has pgBackRest read what is in the store against its checksums."""

from __future__ import annotations

import re
from pathlib import Path

from . import task
from .backup import SHARE, command
from .data import MOUNT
from .errors import AgentError
from .verb import SIDE, Args, Progress, Verb, number, text

_PRINTED = MOUNT / "pgbackrest" / "verify"
_TELLING = ("file missing", "invalid ", "wal start", "backup: ", "manifest")
_AT_MOST = 5000
_PROCESS = re.compile(r"^P\d+ ")


def start(args: Args, _progress: Progress) -> dict[str, object]:
    """Starts reading the backup ``set`` and its log, or everything without; ``name`` is the task's."""
    one = text(args, "set", "")
    talkative = ["--output=text", "--verbose", "--log-level-console=detail", "--log-timestamp=n"]
    words = command(args, "verify", *talkative, *([f"--set={one}"] if one else []))
    task.start(_unit(args), [*SHARE, "-p", f"StandardOutput=truncate:{_PRINTED}", *words])
    return {}


def state(args: Args, progress: Progress) -> dict[str, object]:
    """``running``; ``done`` with the ``lines`` that tell something, each once; or ``failed`` with the reason.

    Watches for so many seconds (``watch``), and returns at once when it ends.
    """
    how = task.watch(_unit(args), number(args, "watch", 0), lambda: progress({"state": "running"}))
    if how in ("failed", "absent"):
        return {"state": "failed", "err": task.last_words(_unit(args)) if how == "failed" else "it did not run"}
    if how == "running":
        return {"state": "running"}
    return {"state": "done", "lines": telling(_PRINTED)}


def telling(printed: Path) -> list[str]:
    """A bundle that is missing is told once for each of its thousands of files."""
    kept: dict[str, None] = {}
    with printed.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            # The process that found it may be any; what it found counts.
            said = _PROCESS.sub("", line).strip()
            if any(word in said for word in _TELLING):
                kept.setdefault(said)
                if len(kept) > _AT_MOST:
                    raise AgentError(f"more than {_AT_MOST} objects are damaged", "see the object store itself")
    return list(kept)


def clear(args: Args, _progress: Progress) -> dict[str, object]:
    task.clean(_unit(args))
    _PRINTED.unlink(missing_ok=True)
    return {}


def _unit(args: Args) -> str:
    return f"verify-{text(args, 'name')}"


VERBS = {
    "backup-verify-start": Verb(start, mutates=True, lane=SIDE),
    "backup-verify-state": Verb(state, mutates=False),
    "backup-verify-clear": Verb(clear, mutates=True, lane=SIDE),
}
