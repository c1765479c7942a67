"""Backups by pgBackRest, as PostgreSQL's user. Its configuration has the keys; here are none."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

from . import task
from .data import MOUNT, prepare_data
from .errors import AgentError
from .files import write_files
from .postgres import sql
from .process import output
from .verb import LOG, SIDE, Args, Progress, Verb, flag, number, text, texts

FOLDER = "/etc/ccx/pgbackrest"
CONFIGURATION = f"{FOLDER}/pgbackrest.conf"
STANDBY, SERVER = f"{FOLDER}/standby.conf", f"{FOLDER}/server.conf"
_SERVER_TASK = "backup-server"
LOCKS = MOUNT / "pgbackrest" / "lock"
GIVEN_UP = MOUNT / "pgbackrest" / "given-up"
"""The archive script's notes: time and segment, a line each."""
SHARE = ("-p", "User=postgres", *task.BESIDE)
_KINDS = {"full": "full", "incremental": "incr"}


def command(args: Args, *words: str, configuration: str = CONFIGURATION) -> list[str]:
    """pgBackRest, as it is configured here, for the ``stanza``."""
    return ["pgbackrest", f"--config={configuration}", f"--stanza={text(args, 'stanza')}", *words]


def _run(args: Args, *words: str) -> str:
    """What pgBackRest printed. It leaves the processors to the database, as a backup does."""
    return output(["nice", "-n", task.NICENESS, *command(args, *words)], user="postgres")


def _info(args: Args) -> dict[str, Any]:
    """What the store has of this stanza, and how far a running backup is."""
    found = json.loads(_run(args, "info", "--output=json") or "[]")
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
    _run(args, "stanza-create")
    _run(args, "check", "--archive-timeout=60")
    return {}


def configure(args: Args, progress: Progress) -> dict[str, object]:
    """Puts the way to the store where pgBackRest looks for it: ``directories`` on the volume, and ``files``."""
    for file in args.get("files", []):
        if not text(file, "path").startswith(f"{FOLDER}/"):
            raise AgentError(f"{file['path']} is not below {FOLDER}", "write other files by write-files")
    prepare_data({"directories": args.get("directories", [])}, progress)
    return write_files({"files": args.get("files", [])}, progress)


def start(args: Args, _progress: Progress) -> dict[str, object]:
    """Starts the backup ``name`` of that ``kind``, unless it runs or is in the store already.

    ``standby``: this is a replica, whose primary serves it (:func:`serve`). ``node`` is noted with the backup.
    """
    name, kind = text(args, "name"), _KINDS.get(text(args, "kind"))
    if kind is None:
        raise AgentError(f"kind must be one of {', '.join(_KINDS)}")
    # Whether it is there already is for the task itself to ask: the store may be away, and the caller must not hang.
    listed = shlex.join(command(args, "info", "--output=json"))
    notes = [f"--annotation=ccx={name}"]
    if node := text(args, "node", ""):
        notes.append(f"--annotation=ccx-node={node}")
    configuration = STANDBY if flag(args, "standby") else CONFIGURATION
    makes = shlex.join(command(args, "backup", f"--type={kind}", *notes, configuration=configuration))
    if configuration == CONFIGURATION:
        task.clean(_SERVER_TASK)  # whoever was served here is not to go on beside this one
    told = shlex.quote(f'"ccx":"{name}"')
    task.start(f"backup-{name}", [*SHARE, "/bin/sh", "-c", f"{listed} | grep -qF {told} || exec {makes}"])
    return {}


def state(args: Args, progress: Progress) -> dict[str, object]:
    """``running`` with ``done`` and ``total`` bytes, ``done`` with the ``backup``, or ``failed`` with the reason.

    It watches the backup for so many seconds (``watch``), and returns at once when that ends: to be asked each second
    would cost the node more than to look. What a replica (``standby``) made is for :func:`note` on the primary.
    """
    name = text(args, "name")
    unit = f"backup-{name}"
    how = task.watch(unit, number(args, "watch", 0), lambda: progress(_far(args)))
    if how == "running":
        return _far(args)
    if (backup := _find(args, name)) is not None:
        return {"state": "done", "backup": backup if flag(args, "standby") else _dated(args, backup)}
    return {"state": "failed", "err": task.last_words(unit) if how == "failed" else f"there is no backup {name}"}


def _far(args: Args) -> dict[str, object]:
    return {"state": "running", **running(text(args, "stanza"))}


def running(stanza: str, folder: Path = LOCKS) -> dict[str, object]:
    """How far the backup is by its own notes here, in ``done`` and ``total`` bytes of the database.

    It is what ``pgbackrest info`` tells too, but that asks the store, which may be what the backup waits for.
    """
    for lock in folder.glob(f"{stanza}-backup*.lock"):
        with contextlib.suppress(OSError, ValueError):  # it ended just now, or writes just now
            _, brace, rest = lock.read_text().partition("{")
            noted = json.loads(brace + rest)
            return {"done": int(noted.get("szCplt", 0)), "total": noted.get("sz")}
    return {"done": 0, "total": None}


def note(args: Args, _progress: Progress) -> dict[str, object]:
    """On the primary: the ``backup``, with a note in the store of a transaction that began after it.

    That can't be told later, nor by a replica.
    """
    backup = args.get("backup")
    if not isinstance(backup, dict):
        raise AgentError("argument backup must be what backup-state told")
    return {"backup": _dated(args, backup)}


def _dated(args: Args, backup: dict[str, Any]) -> dict[str, Any]:
    notes = backup.get("annotation") or {}
    if "ccx-xid" in notes:
        return backup
    following = sql("select pg_snapshot_xmax(pg_current_snapshot());")
    annotated = ("annotate", f"--set={text(backup, 'label')}", f"--annotation=ccx-xid={following}")
    _run(args, *annotated)
    return {**backup, "annotation": {**notes, "ccx-xid": following}}


def serve(_args: Args, _progress: Progress) -> dict[str, object]:
    """On the primary: lets the replica that is named in its settings make a backup, until :func:`clear`."""
    task.clean(_SERVER_TASK)  # it may be another replica's
    task.start(_SERVER_TASK, [*SHARE, "pgbackrest", f"--config={SERVER}", "server"])
    return {}


def position(_args: Args, _progress: Progress) -> dict[str, object]:
    """On a primary: ``lsn``, where the log ends now, and ``xid``, which the next transaction gets."""
    lsn, xid = sql("select pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot());").split("|")
    return {"lsn": lsn, "xid": int(xid)}


def listed(args: Args, _progress: Progress) -> dict[str, object]:
    return {"backups": _info(args).get("backup", [])}


def clear(args: Args, _progress: Progress) -> dict[str, object]:
    """Forgets the task of the backup ``name``; one that runs is ended, and what it has is no backup. Serves none.

    ``healed``: the first segment of the log that counts from now on.
    """
    task.clean(f"backup-{text(args, 'name')}", _SERVER_TASK)
    if healed := text(args, "healed", ""):
        forget_given_up(healed)
    return {}


def expire(args: Args, _progress: Progress) -> dict[str, object]:
    """Removes the backups ``remove``, the oldest that there are, with all that builds on them; and their log."""
    gone = set(texts(args, "remove"))
    full = [one["label"] for one in _info(args).get("backup", []) if one["type"] == "full"]
    kept = [label for label in full if label not in gone]
    if not kept or full[len(full) - len(kept) :] != kept:
        raise AgentError("only the oldest backups can be removed, and not all of them")
    if kept != full:
        count = ("--repo1-retention-full-type=count", f"--repo1-retention-full={len(kept)}")
        _run(args, *count, "expire")
    return {}


def mark(_args: Args, _progress: Progress) -> dict[str, object]:
    """Ends the ``segment`` that the log is in now; :func:`marked` waits for it.

    It ends with a commit, of nothing: recovery to a time stops at the first commit after it, and fails without one.
    Its lane is its own: whoever backs up, or changes the node, is not in its way, nor it in theirs.
    """
    sql("select pg_current_xact_id();")
    return {"segment": sql("select pg_walfile_name(pg_switch_wal());")}


def marked(args: Args, progress: Progress) -> dict[str, object]:
    """Returns once that ``segment`` of the log is in the store, within ``limit`` seconds."""
    segment = text(args, "segment")
    deadline = time.monotonic() + number(args, "limit", 60)
    while sql("select left(coalesce(last_archived_wal, ''), 24) from pg_stat_archiver;") < segment:
        if time.monotonic() > deadline:
            raise AgentError(f"{segment} of the log has not arrived in the store", "see why archiving fails")
        progress({"archive": f"waiting for {segment}"})
        time.sleep(0.2)
    return {"segment": segment}


def archive(args: Args, _progress: Progress) -> dict[str, object]:
    """``waiting``: how many segments of the log in ``data`` have not arrived in the store; ``oldest``: for seconds.

    ``volume`` and ``free``: bytes of the volume that they lie on. ``given_up``: how many were given up instead of
    filling it, since when, and when the last one was.

    ``newest``: when the last one arrived, as PostgreSQL knows it; null: none has since its counters began.
    """
    ready = Path(text(args, "data"), "pg_wal/archive_status").glob("*.ready")
    since = []
    for entry in ready:
        with contextlib.suppress(FileNotFoundError):  # it arrived just now
            since.append(entry.stat().st_mtime)
    room, lost = os.statvfs(MOUNT), given_up()
    arrived = sql("select extract(epoch from last_archived_time) from pg_stat_archiver;")
    return {
        "waiting": len(since),
        "oldest": max(0.0, time.time() - min(since)) if since else 0.0,
        "newest": float(arrived) if arrived else None,
        "volume": room.f_frsize * room.f_blocks,
        "free": room.f_frsize * room.f_bavail,
        "given_up": len(lost),
        "given_up_since": lost[0][0] if lost else None,
        "given_up_last": lost[-1][0] if lost else None,
    }


def given_up(noted: Path = GIVEN_UP) -> list[tuple[str, str]]:
    """When, and the name, of each segment of the log that the archive script gave up, as it noted them."""
    lines = noted.read_text().splitlines() if noted.exists() else []
    return [(at, name) for at, _, name in (line.partition(" ") for line in lines) if name]


def forget_given_up(before: str, noted: Path = GIVEN_UP) -> None:
    """Forgets those of before the segment ``before``, whose place on a later timeline is as good."""
    left = [(at, name) for at, name in given_up(noted) if name[8:] >= before[8:]]
    if noted.exists():
        noted.write_text("".join(f"{at} {name}\n" for at, name in left))


def _find(args: Args, name: str) -> dict[str, Any] | None:
    found = (b for b in _info(args).get("backup", []) if (b.get("annotation") or {}).get("ccx") == name)
    backup: dict[str, Any] | None = next(found, None)
    return backup


VERBS = {
    "backup-enable": Verb(enable, mutates=True, lane=SIDE),
    "backup-configure": Verb(configure, mutates=True, lane=SIDE),
    "backup-start": Verb(start, mutates=True, lane=SIDE),
    "backup-state": Verb(state, mutates=False),
    "backup-note": Verb(note, mutates=True, lane=SIDE),
    "backup-serve": Verb(serve, mutates=True, lane=SIDE),
    "backup-clear": Verb(clear, mutates=True, lane=SIDE),
    "archive-state": Verb(archive, mutates=False),
    "backup-expire": Verb(expire, mutates=True, lane=SIDE),
    "backup-mark": Verb(mark, mutates=True, lane=LOG),
    "backup-marked": Verb(marked, mutates=False),
    "log-position": Verb(position, mutates=False),
    "backups": Verb(listed, mutates=False),
}
