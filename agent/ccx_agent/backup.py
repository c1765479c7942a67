"""Backups by pgBackRest, as PostgreSQL's user. Its configuration has the keys; here are none."""

from __future__ import annotations

import json
import time
from typing import Any

from . import task
from .errors import AgentError
from .postgres import sql
from .process import output
from .verb import Args, Progress, Verb, number, text

CONFIGURATION = "/etc/ccx/pgbackrest/pgbackrest.conf"
_KINDS = {"full": "full", "incremental": "incr"}


def _command(args: Args, *words: str) -> list[str]:
    return ["pgbackrest", f"--config={CONFIGURATION}", f"--stanza={text(args, 'stanza')}", *words]


def _info(args: Args) -> dict[str, Any]:
    """What the store has of this stanza, and how far a running backup is."""
    found = json.loads(output(_command(args, "info", "--output=json"), user="postgres") or "[]")
    stanza: dict[str, Any] = found[0] if found else {}
    return stanza


def enable(args: Args, progress: Progress) -> dict[str, object]:
    """Makes the ``stanza`` in the store, and returns once a segment of the log has arrived there."""
    if sql("show archive_mode;") != "on":
        raise AgentError("PostgreSQL was started without archive_mode", "restart it: it can't be turned on meanwhile")
    deadline = time.monotonic() + number(args, "limit", 30)
    while "pgbackrest" not in sql("show archive_command;"):
        if time.monotonic() > deadline:
            raise AgentError("PostgreSQL does not know of its archive_command yet")
        progress({"archive": "waiting for archive_command"})
        time.sleep(0.2)
    output(_command(args, "stanza-create"), user="postgres")
    output(_command(args, "check", "--archive-timeout=60"), user="postgres")
    return {}


def start(args: Args, _progress: Progress) -> dict[str, object]:
    """Starts the backup ``name`` of that ``kind``, unless it runs or is in the store already."""
    name, kind = text(args, "name"), _KINDS.get(text(args, "kind"))
    if kind is None:
        raise AgentError(f"kind must be one of {', '.join(_KINDS)}")
    if _find(args, name) is None:
        command = _command(args, "backup", f"--type={kind}", f"--annotation=ccx={name}")
        task.start(f"backup-{name}", ["-p", "User=postgres", "-p", "CPUWeight=20", "-p", "IOWeight=20", *command])
    return {}


def state(args: Args, _progress: Progress) -> dict[str, object]:
    """``running`` with ``done`` and ``total`` bytes, ``done`` with the ``backup``, or ``failed`` with the reason."""
    name = text(args, "name")
    unit = f"backup-{name}"
    how = task.check(unit)
    if how == "running":
        lock = _info(args).get("status", {}).get("lock", {}).get("backup", {})
        return {"state": "running", "done": lock.get("size-cplt", 0), "total": lock.get("size")}
    backup = _find(args, name)
    if backup is not None:
        return {"state": "done", "backup": backup}
    return {"state": "failed", "err": task.last_words(unit) if how == "failed" else f"there is no backup {name}"}


def listed(args: Args, _progress: Progress) -> dict[str, object]:
    return {"backups": _info(args).get("backup", [])}


def clear(args: Args, _progress: Progress) -> dict[str, object]:
    """Forgets the ended task of the backup ``name``."""
    task.clean(f"backup-{text(args, 'name')}")
    return {}


def _find(args: Args, name: str) -> dict[str, Any] | None:
    found = (b for b in _info(args).get("backup", []) if (b.get("annotation") or {}).get("ccx") == name)
    backup: dict[str, Any] | None = next(found, None)
    return backup


VERBS = {
    "backup-enable": Verb(enable, mutates=True),
    "backup-start": Verb(start, mutates=True),
    "backup-state": Verb(state, mutates=False),
    "backup-clear": Verb(clear, mutates=True),
    "backups": Verb(listed, mutates=False),
}
