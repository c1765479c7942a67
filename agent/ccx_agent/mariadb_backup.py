"""Backups of MariaDB, and of MySQL and Percona Server: the verbs. They, files and units are called after the first.

What works for long is a unit of its own, as the server's user; keys are in files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from . import notes, task
from .backed import backed, log_of
from .binlog import Unreadable
from .copying import ends_behind, tool_here
from .data import MOUNT, prepare_data
from .errors import AgentError
from .files import write_files
from .log_parts import needless, parse
from .mariadb_copy import FULL, MANIFEST, folder, manifests
from .mariadb_ship import Shipper, plain
from .mariadb_store import Store, StoreFailed
from .mysql_wire import Connection, ServerRefused, ServerSilent
from .process import output
from .verb import LOG, SIDE, Args, Progress, Verb, text, texts
from .verb import number as amount

FOLDER = "/etc/ccx/mariadb-backup"
CONFIGURATION = f"{FOLDER}/backup.json"
SHIPPER = "ccx-mariadb-ship.service"
WORK = MOUNT / "mysql-backup"
_AGENT = "/usr/lib/ccx-agent/ccx_agent"
_KINDS = ("full", "incremental")
_SHARE = ("-p", "User=mysql", *task.BESIDE, "-p", "PrivateTmp=yes")
_LOOK_EVERY_S = 0.2
_SILENT_S = 30.0
_ANSWERS_S = 10.0
_NAME = re.compile(r"[a-z0-9-]{1,60}")

_Result = TypeVar("_Result")


def _told() -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(Path(CONFIGURATION).read_text())
    except FileNotFoundError:
        raise AgentError("this node has no way to the store", "configure it first") from None
    return told


def _store(act: Callable[[Store, dict[str, Any]], _Result]) -> _Result:
    told = _told()
    try:
        return act(Store(told), told)
    except StoreFailed as error:
        raise AgentError(str(error)) from None


def _name(args: Args) -> str:
    name = text(args, "name")
    if not _NAME.fullmatch(name):
        raise AgentError(f"{name!r} is no name for a backup")
    return name


def configure(args: Args, progress: Progress) -> dict[str, object]:
    """Puts the way to the store where our programs look for it: ``directories`` on the volume, and ``files``."""
    for file in args.get("files", []):
        path = text(file, "path")
        if not path.startswith(f"{FOLDER}/") and path != f"/etc/systemd/system/{SHIPPER}":
            raise AgentError(f"{path} is not below {FOLDER}", "write other files by write-files")
    prepare_data({"directories": args.get("directories", [])}, progress)
    return write_files({"files": args.get("files", [])}, progress)


def ship(args: Args, progress: Progress) -> dict[str, object]:
    """Has the log sent from now on. Returns when some has arrived, where this is the primary (``leads``)."""
    output(["systemctl", "daemon-reload"])
    output(["systemctl", "enable", "--quiet", SHIPPER])
    files = [Path(FOLDER) / name for name in ("backup.json", "rclone.conf", "ca.crt")]
    told = hashlib.sha256(b"".join(file.read_bytes() for file in files if file.exists())).hexdigest()
    ships_with = WORK / "ships-with"
    same = ships_with.exists() and ships_with.read_text() == told
    output(["systemctl", "start" if same else "restart", SHIPPER])
    ships_with.write_text(told)
    began = time.time()
    deadline = time.monotonic() + amount(args, "limit", 60)
    while bool(args.get("leads")):
        shown = _shipped()
        if shown.get("at", 0) > began and shown.get("err"):
            raise AgentError(str(shown["err"]))
        if shown.get("at", 0) > began and shown.get("ships") and shown.get("newest"):
            break
        if time.monotonic() > deadline:
            raise AgentError("the log does not get into the object store", f"see its journal: {SHIPPER}")
        progress({"archive": "waiting for the first part of the log"})
        time.sleep(_LOOK_EVERY_S)
    return {}


def ship_rest(_args: Args, _progress: Progress) -> dict[str, object]:
    """Stores the end of the log of a server that led and has ended; who sent it before has ended too."""
    shown = _shipped()
    if not shown.get("ships"):
        raise AgentError("this node did not send its log when its server ended", "what it has is on its volume")

    def act(_store: Store, told: dict[str, Any]) -> dict[str, object]:
        at_its_end = {**told, "before": shown.get("before", "")}
        shipper = Shipper(at_its_end, lambda: (shown["term"], shown["behind"]))
        shipper.rest()
        return {"stored": shipper.stored}

    try:
        return _store(act)
    except Unreadable as error:
        raise AgentError(f"the end of the log can't be read: {error}") from None


def start(args: Args, _progress: Progress) -> dict[str, object]:
    """Starts the backup ``name`` of that ``kind``, unless it runs or is in the store already."""
    name, kind = _name(args), text(args, "kind")
    if kind not in _KINDS:
        raise AgentError(f"kind must be one of {', '.join(_KINDS)}")
    program = ["/usr/bin/python3", "-I", f"{_AGENT}/mariadb_copy.py", CONFIGURATION, name, kind]
    task.start(f"backup-{name}", [*_SHARE, *program])
    return {}


def state(args: Args, progress: Progress) -> dict[str, object]:
    """``running`` with ``done`` and ``total`` bytes, ``done`` with the ``backup``, or ``failed`` with the reason.

    It watches the backup for so many seconds (``watch``), and returns at once when that ends.
    """
    name = _name(args)
    how = task.watch(f"backup-{name}", amount(args, "watch", 0), lambda: progress(_far(name)))
    if how == "running":
        return _far(name)
    made = WORK / f"made-{name}"
    if how == "succeeded" and made.exists():
        return {"state": "done", "backup": json.loads(made.read_text())}
    said = task.last_words(f"backup-{name}") if how == "failed" else f"there is no backup {name}"
    return {"state": "failed", "err": said}


def _far(name: str) -> dict[str, Any]:
    return {"state": "running", "done": 0, "total": None, **_read(WORK / f"far-{name}")}


def clear(args: Args, _progress: Progress) -> dict[str, object]:
    """Forgets the task of the backup ``name``; one that runs is ended, and what it has is no backup.

    ``healed``: when a full backup began: what was given up of the log before is no more to be regretted. What was given
    up since may be of after its copy.
    """
    name = _name(args)
    task.clean(f"backup-{name}")
    for left in (f"made-{name}", f"far-{name}"):
        (WORK / left).unlink(missing_ok=True)
    if (work := WORK / f"copy-{name}").exists():  # it was broken off
        told = _told()
        tool_here(told).forget(told, work)
    if healed := text(args, "healed", ""):
        noted, later = WORK / "given-up", [line for line in _given_up() if line.split()[0] >= healed]
        if later:
            noted.write_text("".join(f"{line}\n" for line in later))
        else:
            noted.unlink(missing_ok=True)
    return {}


def listed(_args: Args, _progress: Progress) -> dict[str, object]:
    return {"backups": _store(manifests)}


def expire(args: Args, _progress: Progress) -> dict[str, object]:
    """Removes the backups ``remove``, the oldest that there are, with all that builds on them; and their log."""
    gone = set(texts(args, "remove"))

    def act(store: Store, told: dict[str, Any]) -> dict[str, object]:
        known = manifests(store, told)
        kept = [one for one in known if one["id"] not in gone]
        whole = [one for one in kept if "damaged" not in one]
        if not whole or known[len(known) - len(kept) :] != kept or kept[0]["kind"] != FULL:
            raise AgentError("only the oldest backups can be removed, whole chains of them, and not all")
        # Newest first, and what calls it complete before what it has: whatever happens, none looks better than it is.
        for one in reversed(known[: len(known) - len(kept)]):
            at = f"{folder(told)}/{one['id']}"
            store.delete(at, [MANIFEST])
            store.delete(at, store.names(at))
        log = f"archive/{told['archive']}"
        parts = [part for name in store.names(log) if (part := parse(plain(name))) is not None]
        after = min(ends_behind(one) for one in whole)
        store.delete(log, [part.name for part in needless(parts, after)])
        return {}

    return _store(act)


def mark(_args: Args, _progress: Progress) -> dict[str, object]:
    """Asks for all that is committed now to be stored at once; :func:`marked` waits for it."""
    told = _told()
    wanted = log_of(told).number(_position(told))
    notes.write(WORK / "wanted", wanted)
    return {"wanted": wanted}


def marked(args: Args, progress: Progress) -> dict[str, object]:
    """Returns once the store has everything up to the transaction ``wanted``, within ``limit`` seconds.

    What it has by a replica's word may be another primary's, which was lost: only who leads knows its own history.
    """
    wanted = amount(args, "wanted", 0)
    deadline = time.monotonic() + amount(args, "limit", 60)
    while not ((shown := _shipped()).get("ships") and shown["stored"] >= wanted):
        if time.monotonic() > deadline:
            raise AgentError(f"the log has not arrived in the store: {shown.get('err') or 'no word why'}")
        progress({"archive": f"waiting for transaction {wanted:.0f}"})
        time.sleep(_LOOK_EVERY_S)
    return {}


def archive(_args: Args, _progress: Progress) -> dict[str, object]:
    """``oldest``: for how many seconds something has waited to be stored; ``waiting``: bytes of it; ``newest``.

    ``volume`` and ``free``: bytes of the volume that it lies on. ``given_up``: files, since when, and when the last one
    was.
    """
    shown, room, lost = _shipped(), os.statvfs(MOUNT), _given_up()
    # Who ships says so all the time; of one that is silent nobody knows whether anything arrives.
    silent = time.time() - shown["at"] if shown else 0.0
    return {
        "oldest": max(float(shown.get("oldest", 0)), silent if silent > _SILENT_S else 0.0),
        "waiting": shown.get("waiting", 0),
        "newest": shown.get("newest"),
        "volume": room.f_frsize * room.f_blocks,
        "free": room.f_frsize * room.f_bavail,
        "given_up": len(lost),
        "given_up_since": lost[0].split()[0] if lost else None,
        "given_up_last": lost[-1].split()[0] if lost else None,
    }


def _given_up() -> list[str]:
    noted = WORK / "given-up"
    return noted.read_text().splitlines() if noted.exists() else []


def position(_args: Args, _progress: Progress) -> dict[str, object]:
    told = _told()
    gtid = _position(told)
    return {"gtid": gtid, "number": log_of(told).number(gtid)}


def transaction(args: Args, _progress: Progress) -> dict[str, object]:
    """The ``gtid`` of the log's transaction with that ``number``; empty: it is not in the log here."""
    wanted, told = int(amount(args, "number", 0)), _told()
    log = log_of(told)
    for file in sorted(Path(told["binlogs"]).glob("binlog.*[0-9]"), reverse=True):  # each has an index beside it
        try:
            if (behind := log.head(file) or 0) < wanted:
                found = (one.gtid for one in log.transactions(file, behind) if one.number == wanted)
                return {"gtid": next(found, "")}
        except (Unreadable, FileNotFoundError):
            continue  # it is just being begun, or was removed
    return {"gtid": ""}


def verify_start(args: Args, _progress: Progress) -> dict[str, object]:
    """Starts reading the backup ``set``, or everything without; ``name`` is the task's."""
    name, one = _name(args), text(args, "set", "")
    program = ["/usr/bin/python3", "-I", f"{_AGENT}/mariadb_verify.py", CONFIGURATION, name, *([one] if one else [])]
    task.start(f"verify-{name}", [*_SHARE, *program])
    return {}


def verify_state(args: Args, progress: Progress) -> dict[str, object]:
    """``running`` with ``done`` and ``total`` bytes; ``done`` with what was ``found``; ``failed`` with the reason."""
    name = _name(args)
    far = WORK / f"far-verify-{name}"

    def tell() -> None:
        progress({"state": "running", **_read(far)})

    how = task.watch(f"verify-{name}", amount(args, "watch", 0), tell)
    if how == "running":
        return {"state": "running", "done": 0, "total": None, **_read(far)}
    found = WORK / f"verified-{name}"
    if how == "succeeded" and found.exists():
        return {"state": "done", "found": json.loads(found.read_text())}
    return {"state": "failed", "err": task.last_words(f"verify-{name}") if how == "failed" else "it did not run"}


def verify_clear(args: Args, _progress: Progress) -> dict[str, object]:
    name = _name(args)
    task.clean(f"verify-{name}")
    for left in (f"verified-{name}", f"far-verify-{name}"):
        (WORK / left).unlink(missing_ok=True)
    return {}


def restore_state(args: Args, progress: Progress) -> dict[str, object]:
    """What the script says that makes the data: ``absent``; ``restoring``, ``done`` bytes, ``note``; ``failed``."""
    deadline = time.monotonic() + amount(args, "watch", 0)
    while (seen := _restoring())["state"] not in ("failed", "restored") and time.monotonic() < deadline:
        progress(seen)
        time.sleep(1)
    return seen


def _restoring() -> dict[str, Any]:
    return {"state": "absent", "done": 0, "note": "", **_read(WORK / "restore-state")}


def _shipped() -> dict[str, Any]:
    return _read(WORK / "shipped")


def _read(path: Path) -> dict[str, Any]:
    return notes.read(path) or {}


def _position(told: dict[str, Any]) -> str:
    """Up to where the server's history goes."""
    try:
        with Connection(told["socket"], "root", _ANSWERS_S) as connection:
            return "".join(connection.query(backed(told).looks)[0]["pos"].split())
    except (ServerSilent, ServerRefused) as error:
        raise AgentError(str(error), "see the journal of the database server") from None


VERBS = {
    "mariadb-backup-configure": Verb(configure, mutates=True, lane=SIDE),
    "mariadb-ship": Verb(ship, mutates=True, lane=SIDE),
    "mariadb-ship-rest": Verb(ship_rest, mutates=True, lane=SIDE),
    "mariadb-backup-start": Verb(start, mutates=True, lane=SIDE),
    "mariadb-backup-state": Verb(state, mutates=False),
    "mariadb-backup-clear": Verb(clear, mutates=True, lane=SIDE),
    "mariadb-backups": Verb(listed, mutates=False),
    "mariadb-backup-expire": Verb(expire, mutates=True, lane=SIDE),
    "mariadb-archive-mark": Verb(mark, mutates=True, lane=LOG),
    "mariadb-archive-marked": Verb(marked, mutates=False),
    "mariadb-archive-state": Verb(archive, mutates=False),
    "mariadb-log-position": Verb(position, mutates=False),
    "mariadb-log-transaction": Verb(transaction, mutates=False),
    "mariadb-verify-start": Verb(verify_start, mutates=True, lane=SIDE),
    "mariadb-verify-state": Verb(verify_state, mutates=False),
    "mariadb-verify-clear": Verb(verify_clear, mutates=True, lane=SIDE),
    "mariadb-restore-state": Verb(restore_state, mutates=False),
}
