"""Watches one member of a Galera group: ``python3 -I galera_keeper.py CONFIGURATION``, one on each node.

It answers how its server does, remembers which group that belonged to last, and sees to it that one member accepts
writes. Who that is stands in a table of the group's own, so no other consensus and no control plane are needed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from threading import Event, Lock
from typing import Any

STEADY, QUICK = 0.25, 0.1
"""Seconds between two turns; and while something is amiss."""


class Keeper:
    def __init__(self, path: str) -> None:
        from ccx_agent.galera_server import Galera
        from ccx_agent.keeper_web import client_context

        self._path = path
        self.told: dict[str, Any] = json.loads(Path(path).read_text())
        self.me: str = self.told["label"]
        self.server = Galera(self.told)
        self._context = client_context(self.told["tls"])
        self._missed_since: float | None = None
        self._alone_since: float | None = None
        self._asked = 0.0
        self._waiting: tuple[str, ...] = ()
        self._viewed: tuple[str, ...] = ()
        self._said = ""
        self._turned = time.monotonic()
        self._lock = Lock()
        self._wake = Event()
        self.shown: dict[str, Any] = {"label": self.me}

    def alive(self) -> bool:
        return time.monotonic() - self._turned < 15

    def run(self) -> None:
        from ccx_agent.mysql_wire import ServerRefused, ServerSilent

        while True:
            try:
                with self._lock:
                    pause = self.turn()
            except (ServerSilent, ServerRefused, OSError, ValueError) as error:
                self._say(f"{type(error).__name__}: {error}")
                pause = QUICK
            self._turned = time.monotonic()
            self._wake.wait(pause)
            self._wake.clear()

    def turn(self) -> float:
        """One look, one decision, one act; the seconds until the next one."""
        from ccx_agent.galera_rules import Do, decide

        look = self.server.look()
        server, now = look.server, time.monotonic()
        missed = server.serves and server.writer not in server.members
        self._missed_since = (self._missed_since or now) if missed else None
        alone = server.running and not server.ready
        self._alone_since = (self._alone_since or now) if alone else None
        action = decide(
            self.me, server, now - (self._missed_since or now), now - (self._alone_since or now),
            self._who_waits(now) if alone else (),
        )  # fmt: skip
        self._show(look, action)
        if server.serves and server.members != self._viewed:
            self._remember(server.members, look.shown["committed"])
        if action.do is Do.WAIT:
            # Where the writes are, whatever was acknowledged is there.
            if server.serves and look.waits != (waits := look.row.current and server.writer != self.me):
                self.server.wait(current=waits)
            return STEADY if server.serves and not missed else QUICK
        self._say(f"{action.do.value}: {action.why}")
        if action.do is Do.OPEN:
            self.server.open()
        elif action.do is Do.CLOSE:
            self.server.close()
        elif action.do is Do.CLAIM:
            if self.server.claim(self.me, look.row.term):
                self.server.open()
        elif action.do is Do.END:
            self.server.end()
        elif action.do is Do.RESYNC:
            self.server.resync()
        return 0 if action.do is Do.CLAIM else QUICK

    def _who_waits(self, now: float) -> tuple[str, ...]:
        """Asked once a second; nobody, if there is a group that serves."""
        from ccx_agent.galera_peers import reports

        if now - self._asked > 1:
            found = reports(self.told, self._context)
            serves = any(report.get("serves") for report in found.values())
            self._waiting = () if serves else tuple(sorted(label for label, r in found.items() if r.get("waiting")))
            self._asked = time.monotonic()
        return self._waiting

    def _remember(self, members: tuple[str, ...], committed: int) -> None:
        """On disk, whole or not at all: which group this was, for the day when nobody is left."""
        from ccx_agent.durable import replace

        text = json.dumps({"view": list(members), "view_at": committed})
        replace(Path(self.told["view_file"]), text.encode(), mode=0o600, uid=os.getuid(), gid=os.getgid())
        self._viewed = members

    def _show(self, look: Any, action: Any) -> None:
        from ccx_agent import notes
        from ccx_agent.room import room

        server = look.server
        waiting = None if server.running else notes.read(Path(self.told["waiting_file"]))
        self.shown = {
            **look.shown,
            "label": self.me,
            "leader": server.writer,
            "term": look.row.term,
            "term_start": look.row.start,
            "running": server.running,
            "writable": server.writable,
            "serves": server.serves,
            "current_reads": look.row.current,
            "state": server.state,
            "members": list(server.members),
            "waiting": waiting,
            "note": waiting["why"] if waiting else action.why,
            "copied": (notes.read(Path(self.told["progress_file"])) or 0) if not server.running else 0,
            "room": room(self.told["binlogs"]),
        }

    def hand_over(self, to: str) -> str:
        """Has another member accept writes. Empty, or why not."""
        from ccx_agent.mysql_wire import ServerRefused, ServerSilent

        with self._lock:
            look = self.server.look()
            if look.server.writer != self.me or not look.server.serves:
                return f"{self.me} does not accept writes"
            if to not in look.server.members or to == self.me:
                return f"{to} is not in the group"
            try:
                self.server.hold()
                done = self.server.claim(to, look.row.term)
            except (ServerRefused, ServerSilent) as error:
                return f"{self.me}: {error}"
        self._wake.set()
        return "" if done else f"{self.me} does not accept writes any more"

    def reload(self) -> None:
        """The configuration, which names the members, and the certificate."""
        from ccx_agent.keeper_web import client_context

        with self._lock:
            self.told = json.loads(Path(self._path).read_text())
            self.server.told = self.told
            self._context = client_context(self.told["tls"])
            self.server.renew_tls()

    def _say(self, words: str) -> None:
        if words != self._said:
            print(words, flush=True)
            self._said = words


def main(path: str) -> None:
    from ccx_agent.keeper_web import keep

    keeper = Keeper(path)
    keep(keeper, keeper.told, keeper.reload)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main(*sys.argv[1:])
