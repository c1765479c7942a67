"""A copy of MySQL's data by the server itself (``CLONE LOCAL``), where there is no tool for physical backups.

It lies on the node's volume until it is stored, so there has to be room for it. Always all of the data: it knows no
increments. Up to where it goes in the history the server does not say; so a server of the moment is started on it,
which recovers it and knows. What can't be started is no copy.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from .copying import NoCopy, Tell
from .mysql_momentary import NotServing, momentary
from .mysql_wire import Connection, ServerRefused, ServerSilent, quoted

_CLONED_S = 24 * 3600.0
_LOOK_S = 10.0
_TELL_EVERY_S = 0.5
_MIB = 2**20
RESERVE = 0.15
"""Of the volume, that a copy leaves free: at a tenth the log is given up, and more is written meanwhile."""
_OF_ITS_OWN = ("auto.cnf",)
"""Who the server of the moment was, nobody is to be again."""


class Clone:
    """Implements :class:`ccx_agent.copying.Tool`."""

    name = "clone"
    data = "data.tar.zst"
    increments = False
    passes = 2

    def __init__(self) -> None:
        self._notes: dict[str, Any] = {}

    def begin(self, told: dict[str, Any], size: int, work: Path, tell: Tell) -> None:
        _check_room(size, work)
        clone = work / "clone"
        try:
            with _telling(clone, tell), Connection(told["socket"], "mysql", _LOOK_S) as connection:
                connection.query(f"clone local data directory = {quoted(str(clone))}", _CLONED_S)
        except ServerRefused as error:
            full = "No space left" in str(error)
            why = "no room for a copy on the node's volume" if full else "the server makes no copy of its data"
            raise NoCopy(f"{why}: {error}") from None
        program = {"server": told["program"], "server_file": told["server"]}
        try:
            with momentary(program, clone, work / "s", _nothing_of_the_real_one(work)) as connection:
                found = connection.query("select @@global.gtid_executed as gtid, @@version as version", _LOOK_S)[0]
        except NotServing as error:
            raise NoCopy(f"no server starts on the copy: {error}") from None
        self._notes = {"gtid": "".join(found["gtid"].split()), "version": found["version"]}

    def command(self, _told: dict[str, Any], _parent: dict[str, Any] | None, work: Path) -> list[str]:
        left_out = [f"--exclude=./{name}" for name in _OF_ITS_OWN]
        return ["tar", "--create", "--file=-", f"--directory={work}/clone", *left_out, "."]

    def notes(self, _work: Path) -> dict[str, Any]:
        return self._notes

    def forget(self, told: dict[str, Any], work: Path) -> None:
        """The server would go on with what nobody waits for any more."""
        who = "mysql" if os.geteuid() else "root"  # of each, the server lets in only itself
        with suppress(ServerSilent, ServerRefused), Connection(told["socket"], who, _LOOK_S) as connection:
            asked = "select id as id from information_schema.processlist where info like 'clone local data directory%'"
            for row in connection.query(asked):
                with suppress(ServerRefused):  # it has gone by itself
                    connection.query(f"kill connection {int(row['id'])}")
            until = time.monotonic() + _LOOK_S
            while connection.query(asked) and time.monotonic() < until:
                time.sleep(_TELL_EVERY_S)
        shutil.rmtree(work, ignore_errors=True)

    def unpack(self, into: Path) -> list[str]:
        return ["tar", "--extract", "--file=-", f"--directory={into}"]

    def prepare(self, _fresh: Path, _increment: Path | None, *, last: bool) -> list[str]:
        """The server of the moment has done it."""
        return []


def _check_room(size: int, work: Path) -> None:
    room = os.statvfs(work)
    free, reserve = room.f_bavail * room.f_frsize, int(room.f_blocks * room.f_frsize * RESERVE)
    if free < size + reserve:
        raise NoCopy(
            f"no room for a copy on the node's volume: {free // _MIB} MiB are free, and it takes {size // _MIB} MiB,"
            f" beside {reserve // _MIB} MiB for what is written meanwhile"
        )


def _nothing_of_the_real_one(work: Path) -> list[str]:
    """Beside the data, its configuration names a place for what it receives as a replica."""
    return [f"--relay-log={work}/relay", "--relay-log-recovery=OFF"]


class _telling:
    """Meanwhile says how large the copy is."""

    def __init__(self, clone: Path, tell: Tell) -> None:
        self._clone, self._tell, self._ended = clone, tell, False
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join()

    def _run(self) -> None:
        while not self._ended:
            with suppress(OSError):  # files come and go
                self._tell(sum(path.lstat().st_blocks * 512 for path in self._clone.rglob("*")))
            time.sleep(_TELL_EVERY_S)
