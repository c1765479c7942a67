"""Sends the binary log to the store: ``python3 -I mariadb_ship.py CONFIGURATION``, one on each node, all the time.

Of MariaDB, and of MySQL and Percona Server.

On the primary a file of the log ends at least every 45 seconds in which something was written, and is stored whole;
so what the store has never breaks off in the middle of something. On a replica it waits for its turn. It also removes
from the node what the store has, once that is much: the server can't, as it does not know what is stored.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

ENDS_AFTER_S = 45.0
"""It takes a moment to get into the store, and is to be there in 60 s."""
RESERVE = 0.10
"""Of the volume that the log may never take."""
KEPT_BYTES, KEPT_S = 2 << 30, 3 * 24 * 3600
"""What stays on a node of what is stored: replicas that were away go on from it."""
_FEW = 8
"""Files that wait are no reason for a full volume: then something else fills it, and giving them up helps nobody."""
_TURN_S, _AGAIN_S = 0.5, 5.0
_LOOK_S, _CHANGE_S = 5.0, 60.0
_PATIENCE_S = 5.0
"""Seconds for which a replica may let writes wait before that is worth a word."""
_ASK_S = 60.0
"""Seconds after which a replica asks again what is stored."""


class Shipper:
    """``term`` says which term this node leads in, and behind which transaction that began."""

    def __init__(self, told: dict[str, Any], term: Callable[[], tuple[int, int]]) -> None:
        from ccx_agent.backed import backed, log_of
        from ccx_agent.mariadb_store import Store

        self.store = Store(told)
        self.stored = 0
        """The last transaction of this history that the store has."""
        self.ships = False
        self._told = told
        self._work = Path(told["work"])
        self._ask_term = term
        self._server: Any = None
        self._backed = backed(told)
        self._before = told.get("before", "")
        """What was before the server's log, by its own word."""
        self._log = log_of(told, self._before)
        self._heads: dict[str, int | None] = {}
        """The last transaction before each file of the log; None while that is not known, and nothing is in it."""
        self._acknowledged = ""
        """How many writes replicas had acknowledged a turn ago; empty: nobody has looked yet."""
        self._held_since: float | None = None
        self._term, self._behind = 0, 0
        self._marked = False
        """Whether the term's beginning is stored."""
        self._begun = False
        """Whether a file was ended since the term began: what was there before is stored at once."""
        self._active = ""
        """The file that was being written when all others were stored."""
        self._newest: float | None = None
        """When something was stored last."""
        self._reached: float | None = None
        """Up to when the log is stored, by when its files were closed: one may have waited for the store for long."""
        self._asked = self._ended = 0.0
        self._waits: float | None = None
        """Since when a file that is ended, or shall end, waits to be stored."""
        self._waiting = 0

    def turn(self) -> None:
        """One look at the server, and what follows from it."""
        from ccx_agent.backed import log_of
        from ccx_agent.log_parts import in_store

        state = self._ask(self._backed.looks)[0]
        self._before = "".join(state.get("before", "").split())
        self._log = log_of(self._told, self._before)
        if state["ro"] in ("0", "OFF"):
            self._lead(self._log.number(state["pos"]))
            return
        self.ships, self._waits, self._waiting = False, None, 0
        if time.monotonic() - self._asked > _ASK_S:
            parts = self._while_it_grows(self._parts)
            self.stored = in_store(parts, max((part.term for part in parts), default=0), 0)
            self._purge(self._files())

    def _lead(self, last: int) -> None:
        if not self.ships:
            self._waits = self._waits or time.time()
            self._while_it_grows(self._begin)
        active = self._names()[-1]
        held = self._held()
        wanted = self._wanted()
        due = time.monotonic() - self._ended > ENDS_AFTER_S or wanted > self.stored
        ends = due and last > (self._head(active) or 0)
        if not ends and self._begun and active.name == self._active:
            return
        self._waits = self._waits or time.time()
        if ends or not self._begun:
            if held > _PATIENCE_S:
                raise OSError("writes wait for a replica: until one is there, the log's last file can't be ended")
            if held:
                return  # for a moment, or for long: the next turns see
            self._ask("flush local binary logs", _CHANGE_S)
            self._ended, self._begun = time.monotonic(), True
        files = self._files()
        known = self._known(files)
        try:
            if self._ask_term() != (self._term, self._behind):
                # While a file was being stored another led, and then this one again: what it wrote since is no longer
                # of the term before, whose parts end where the other's began.
                self.ships = False
                return
            for (file, begins), (_, ends_with) in pairwise(known):
                self._put(file, begins, ends_with)
            self._active, self._waits = (known[-1][0] if known else files[-1]).name, None
        finally:
            self._purge(files)

    def _held(self) -> float:
        """For how many seconds writes have been waiting for a replica that acknowledges none; a turn counts as one.

        They hold the log then: who wants to end a file of it waits with them, and is never answered.
        """
        names = self._backed.waits, self._backed.acknowledged
        asked = self._ask("show global status where variable_name in ('{}', '{}')".format(*names))
        shown = {row["Variable_name"].lower(): row["Value"] for row in asked}
        waiting, acknowledged = (shown[name.lower()] for name in names)
        held, self._acknowledged = waiting != "0" and self._acknowledged in ("", acknowledged), acknowledged
        self._held_since = (self._held_since or time.monotonic()) if held else None
        return max(1.0, time.monotonic() - self._held_since) if self._held_since else 0.0

    def rest(self) -> None:
        """Stores what the store lacks of a server that has ended: so nothing that it acknowledged is here alone."""
        self._begin()
        known = self._known(self._files())
        ends = [*(begins for _, begins in known[1:]), *(self._log.ends_with(file) for file, _ in known[-1:])]
        for (file, begins), end in zip(known, ends, strict=True):
            self._put(file, begins, end)

    def _begin(self) -> None:
        """Another term: what the store has of the ones before counts as far as this one goes on from there."""
        from ccx_agent.log_parts import in_store

        self._term, self._behind = self._ask_term()
        parts = self._parts()
        self.stored = in_store(parts, self._term, self._behind)
        self._marked = any(part.term == self._term for part in parts)
        self._active, self.ships, self._begun = "", True, False

    def _while_it_grows(self, ask: Callable[[], Any]) -> Any:
        """What the store is asked. Where it gives no answer, the log must not fill the volume meanwhile."""
        from ccx_agent.mariadb_store import StoreFailed

        try:
            return ask()
        except StoreFailed:
            self._purge(self._files())
            raise

    def _put(self, file: Path, begins: int, ends: int) -> None:
        """Stores a file that is ended, if it has what the store has not.

        The first of a term has its beginning, even where nothing follows: it ends the term before. One that begins
        behind all that the store has says so: no node may have what is between, and a full backup makes up for it.
        """
        from ccx_agent.log_parts import Part
        from ccx_agent.mariadb_store import end, finish, pour

        marks = not self._marked and begins <= self._behind <= ends
        if ends <= self.stored and not marks:
            return
        digest = hashlib.sha256()
        with file.open("rb") as content:
            while piece := content.read(1 << 20):
                digest.update(piece)
        found = file.stat()
        lacks = self.stored if begins > self.stored and self._newest is not None else None
        part = Part(
            self._term, begins, ends, int(found.st_mtime) + 1, digest.hexdigest()[:40], self._told["label"], file.name,
            lacks,
        )  # fmt: skip
        packing = subprocess.Popen(["zstd", "-q", "-1", "-c", str(file)], stdout=subprocess.PIPE, cwd="/")
        upload = self.store.upload(f"{_folder(self._told)}/{part.name}", found.st_size)
        assert packing.stdout is not None
        with packing.stdout:
            whole = pour(packing.stdout, upload, lambda _: None)
        if packing.wait() and whole:
            end(upload)
            raise OSError(f"{file.name} can't be read any more")
        finish(upload)
        if lacks is not None and self._noted() <= (self._newest or 0):
            self._note_lost(file)
        self.stored = max(self.stored, ends)
        self._marked = self._marked or begins <= self._behind
        self._newest, self._reached = time.time(), max(self._reached or 0.0, float(part.until))

    def _parts(self) -> list[Any]:
        """What the store has."""
        from ccx_agent.log_parts import parse

        found = [part for name in self.store.names(_folder(self._told)) if (part := parse(plain(name))) is not None]
        self._asked = time.monotonic()
        self._newest = self._reached = float(max((part.until for part in found), default=0)) or None
        return found

    def _names(self) -> list[Path]:
        """The log's files here, oldest first. The server itself does not say while writes wait for a replica."""
        return sorted(Path(self._told["binlogs"]).glob("binlog.*[0-9]"))  # each has an index beside it

    def _files(self) -> list[Path]:
        """The same; the last one is being written. Their heads are known then."""
        files = self._names()
        self._heads = {file.name: self._head(file) for file in files}
        return files

    def _known(self, files: list[Path]) -> list[tuple[Path, int]]:
        """Those of which it is known behind which transaction they begin, and that is where the one before ends.

        Of the others one is just being begun, or was when its server was killed; or nothing was ever written.
        """
        return [(file, head) for file in files if (head := self._heads[file.name]) is not None]

    def _head(self, file: Path) -> int | None:
        from ccx_agent.binlog import Unreadable

        known = self._heads.get(file.name)
        if known is None:
            with suppress(Unreadable):  # its beginning is just being written
                known = self._heads[file.name] = self._log.head(file)
        return known

    def _purge(self, files: list[Path]) -> None:
        """Removes what is stored and is not needed here; and, before the volume is full, the oldest that is not."""
        closed, stored = files[:-1], self._stored(files)
        sizes = [file.stat().st_size for file in closed]
        self._waiting = sum(sizes[len(stored) :]) + files[-1].stat().st_size if self._waits else 0
        size, gone = sum(sizes), 0
        while gone < len(stored) and (size > KEPT_BYTES or time.time() - stored[gone].stat().st_mtime > KEPT_S):
            size -= sizes[gone]
            gone += 1
        room = os.statvfs(self._told["binlogs"])
        given_up: list[Path] = []
        if room.f_bavail < RESERVE * room.f_blocks:
            gone = len(stored)
            if len(closed) - gone >= _FEW:
                given_up = [closed[gone]]
                gone += 1
        if gone:
            self._ask(f"purge binary logs to '{files[gone].name}'", _CHANGE_S)
        for file in given_up:
            if not file.exists():  # the server keeps what a replica is just reading
                self._note_lost(file)

    def _stored(self, files: list[Path]) -> list[Path]:
        """Those that the store has: all before one that begins behind what it has."""
        begun = [file for file, begins in self._known(files) if begins <= self.stored]
        return files[: files.index(begun[-1])] if begun else []

    def _noted(self) -> float:
        """When something was noted as lost last. Before the newest of what the store has, it was of another gap."""
        noted = self._work / "given-up"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return datetime.fromisoformat(lines[-1].split()[0]).timestamp() if lines else 0.0

    def _note_lost(self, file: Path) -> None:
        with (self._work / "given-up").open("a") as noted:
            noted.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S+00:00', time.gmtime())} {file.name}\n")

    def _wanted(self) -> int:
        """Up to which transaction somebody wants it stored now."""
        from ccx_agent import notes

        return int(notes.read(self._work / "wanted") or 0)

    def _ask(self, statement: str, limit: float = _LOOK_S) -> Any:
        from ccx_agent.mysql_wire import Connection, ServerRefused, ServerSilent

        if self._server is None:
            self._server = Connection(self._told["socket"], "mysql", _LOOK_S)
            # Another server: it may have begun its log anew, under the same names, and leads in another term.
            self._heads, self.ships = {}, False
            for setting in ("binlog_expire_logs_seconds", "max_binlog_total_size"):
                for scope in ("global", "persist"):
                    with suppress(ServerRefused):  # this version knows none; MariaDB has it in a file
                        self._server.query(f"set {scope} {setting} = 0", _LOOK_S)
        try:
            return self._server.query(statement, limit)
        except ServerSilent:
            self._server = None
            raise

    def show(self, err: str) -> None:
        """Says how far it is, for whoever looks."""
        from ccx_agent import notes

        shown = {
            "oldest": max(0.0, time.time() - self._waits) if self._waits else 0.0, "newest": self._reached,
            "waiting": self._waiting, "stored": self.stored, "ships": self.ships, "err": err,
            "at": time.time(), "term": self._term, "behind": self._behind, "before": self._before,
        }  # fmt: skip
        notes.write(self._work / "shipped", shown)


def _folder(told: dict[str, Any]) -> str:
    return f"archive/{told['archive']}"


def plain(name: str) -> str:
    """An object's name without its folder."""
    return name.rsplit("/", 1)[-1]


def keepers_word(told: dict[str, Any]) -> Callable[[], tuple[int, int]]:
    """Asks this node's keeper; without one there is one term for ever."""
    keeper = told.get("keeper")
    if not keeper:
        return lambda: (0, 0)

    def ask() -> tuple[int, int]:
        from ccx_agent.keeper_web import client_context

        connection = http.client.HTTPSConnection(
            keeper["address"], keeper["port"], timeout=_LOOK_S, context=client_context(keeper["tls"])
        )
        try:
            connection.request("GET", "/status")
            said = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if said.get("leader") != told["label"]:
            raise OSError("the keeper here does not say that this node leads")
        return int(said["term"]), int(said["term_start"])

    return ask


def main(path: str) -> None:
    from ccx_agent.binlog import Unreadable
    from ccx_agent.mariadb_store import StoreFailed
    from ccx_agent.mysql_wire import ServerRefused, ServerSilent

    told = json.loads(Path(path).read_text())
    shipper, said = Shipper(told, keepers_word(told)), ""
    while True:
        pause, err = _TURN_S, ""
        try:
            shipper.turn()
        except (StoreFailed, Unreadable, ServerRefused, ServerSilent, http.client.HTTPException, OSError) as error:
            err = str(error)[:500]
            pause = _AGAIN_S if isinstance(error, StoreFailed) else _TURN_S
        if err and err != said:
            print(f"ERROR: {err}", file=sys.stderr, flush=True)
        said = err
        with suppress(OSError):
            shipper.show(err)
        time.sleep(pause)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main(*sys.argv[1:])
