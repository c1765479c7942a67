"""Keeps one node's server in its place: ``python3 -I keeper.py CONFIGURATION``, one on each node.

Each turn it looks at its server and at etcd, and does what the rules say. The leadership lives by a lease; a keeper
that can't renew it ends its server before the others may believe that it is gone. No control plane is needed.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock
from typing import Any

TTL = 10
"""Seconds that a leadership lasts when it is not renewed."""
MARGIN = 3.0
"""Seconds before that, at which a leader that could not renew it ends its server."""
MEMBER_TTL = 15
CRASHED = 10.0
"""Seconds without a server after which a leader lets others lead."""
HANDING = 15.0
"""Seconds for whom the leadership is handed to."""
LEADING, FOLLOWING, ELECTING = 1.0, 0.5, 0.15
"""Seconds between two turns."""
ETCD_LIMIT = 1.0


class Keeper:
    """``told``: the configuration's content."""

    def __init__(self, told: dict[str, Any]) -> None:
        from ccx_agent.keeper_etcd import Etcd
        from ccx_agent.keeper_web import client_context
        from ccx_agent.mysql_server import DatabaseServer

        self.told = told
        self.me: str = told["label"]
        self.server = DatabaseServer(told)
        self._prefix = f"/ccx/{told['scope']}/"
        self._etcd = Etcd.of(told, client_context(told["tls"]), ETCD_LIMIT)
        self._led_until = 0.0
        self._down_since: float | None = None
        self._member_lease, self._member_renewed = "0", 0.0
        self._frozen = 0
        """The term in which we receive no more."""
        self._reported = ""
        self._said = ""
        self._admitted = False
        self._writable = False
        """By the server's last word. It can be silent, and accept writes."""
        self._turned = time.monotonic()
        self._lock = Lock()
        self._wake = Event()
        self.shown: dict[str, Any] = {"label": self.me}

    def alive(self) -> bool:
        return time.monotonic() - self._turned < 15

    def run(self) -> None:
        from ccx_agent.keeper_etcd import EtcdSilent
        from ccx_agent.mysql_wire import ServerRefused, ServerSilent

        while True:
            try:
                with self._lock:  # also then: whoever hands over speaks by the same connection to the server
                    try:
                        pause = self.turn()
                    except EtcdSilent as silent:
                        pause = self._without_etcd(str(silent))
            except (ServerSilent, ServerRefused, OSError, ValueError) as error:
                self._say(f"{type(error).__name__}: {error}")
                pause = ELECTING
            self._turned = time.monotonic()
            self._wake.wait(pause)
            self._wake.clear()

    def turn(self) -> float:
        """One look, one decision, one act; the seconds until the next one.

        While somebody leads and nothing is to be done, one member's word will do, which may be of a moment ago;
        whatever is done is decided by what a majority has.
        """
        from ccx_agent.keeper_rules import Do, decide
        from ccx_agent.mysql_gtid import in_term

        look = self._look()
        entries = self._etcd.everything(self._prefix, glance=True)
        seen = self._seen(entries)
        self._etcd.know(seen.nodes.values())
        # What one member has of a lease may have ended; to renew it takes a majority.
        sure = seen.leader == self.me and self._renewed(entries["leader"].lease)
        action = decide(server := in_term(look.server, seen.term), seen)
        if seen.leader is None or action.do is not Do.WAIT or (seen.leader == self.me and not sure):
            entries = self._etcd.everything(self._prefix)
            seen = self._seen(entries)
            if seen.leader == self.me and not sure and not self._renewed(entries["leader"].lease):
                return 0
            action = decide(server := in_term(look.server, seen.term), seen)
        leads = seen.leader == self.me
        self._show(server, look.shown, seen, action)
        if server.running:
            self._down_since = None
            if not self._admitted:
                self.server.admit_replicas()
                self._admitted = True
        elif leads:
            self._down_since = self._down_since or time.monotonic()
            if time.monotonic() - self._down_since > CRASHED:
                # What is silent may live, and would go on accepting writes that a later leader knows nothing of.
                self._say("fence: the server is silent, and gives way to another")
                self._fence()
                self._change({"leader": entries["leader"].revision}, {}, ["leader"])
        self._report(server, seen)
        if action.do is Do.WAIT:
            return LEADING if leads else ELECTING if seen.leader is None else FOLLOWING
        self._say(f"{action.do.value}: {action.why}")
        self._act(action.do, server, seen, entries)
        return 0 if action.do in (Do.STAND, Do.PROMOTE, Do.FREEZE) else ELECTING

    def _look(self) -> Any:
        look = self.server.look()
        if look.server.running:
            self._writable = look.server.writable
            return look
        return replace(look, server=replace(look.server, writable=self._writable))

    def _fence(self) -> None:
        self.server.fence()
        self._writable = False

    def _act(self, do: Any, server: Any, seen: Any, entries: dict[str, Any]) -> None:
        from ccx_agent.keeper_rules import Do

        if do is Do.STAND:
            self._stand(server, seen, entries)
        elif do is Do.PROMOTE:
            self._writable = True
            self.server.promote(lambda: self._renewed(entries["leader"].lease), semi_sync=len(seen.nodes) > 1)
        elif do is Do.APPLY:
            self.server.apply()
        elif do is Do.FENCE:
            self._fence()
        elif do is Do.FOLLOW:
            self.server.follow(seen.nodes[seen.leader], server)
        elif do is Do.FREEZE:
            self.server.freeze()
            self._frozen = seen.term.number
        elif do is Do.REBUILD:
            self.server.rebuild(server.errant, behind=server.behind)

    def _seen(self, entries: dict[str, Any]) -> Any:
        from ccx_agent.keeper_rules import Report, Seen, Term

        def told(key: str) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(entries[key].value) if key in entries else {}
            return found

        members = {key.removeprefix("members/"): told(key) for key in entries if key.startswith("members/")}
        term = told("term")
        hand = told("hand")
        return Seen(
            me=self.me,
            nodes=told("nodes"),
            leader=entries["leader"].value if "leader" in entries else None,
            term=Term(**term) if term else None,
            frozen={
                label: Report(member["frozen"], member["received"])
                for label, member in members.items()
                if member.get("frozen")
            },
            hand_to=hand.get("to", "") if hand and time.time() - hand["at"] < HANDING else "",
            handed=hand.get("received", 0),
        )

    def _renewed(self, lease: str) -> bool:
        began = time.monotonic()
        if not self._etcd.renew(lease):
            return False
        self._led_until = began + TTL - MARGIN
        return True

    def _without_etcd(self, why: str) -> float:
        """What is certain without it: until when we lead."""
        look = self._look()
        if look.server.writable and time.monotonic() > self._led_until:
            self._say("fence: the leadership could not be renewed")
            self._fence()
        self.shown = {**self.shown, **look.shown, "running": look.server.running, "writable": look.server.writable,
                      "note": why}  # fmt: skip
        return ELECTING

    def _stand(self, server: Any, seen: Any, entries: dict[str, Any]) -> None:
        began, lease = time.monotonic(), self._etcd.grant(TTL)
        term = seen.term.number + 1 if seen.term else 1
        began_with = {"start": server.received, "history": server.history, "origin": server.origin}
        stated = json.dumps({"number": term, "leader": self.me, **began_with})
        before = {"leader": 0, "term": entries["term"].revision if "term" in entries else 0}
        if self._change(before, {"leader": (self.me, lease), "term": (stated, "0")}, ["hand"]):
            self._led_until = began + TTL - MARGIN

    def _report(self, server: Any, seen: Any) -> None:
        """What others need to know of us, as long as we live."""
        now = time.monotonic()
        if now - self._member_renewed > MEMBER_TTL / 3:
            if self._member_lease == "0" or not self._etcd.renew(self._member_lease):
                self._member_lease, self._reported = self._etcd.grant(MEMBER_TTL), ""
            self._member_renewed = now
        frozen = self._frozen if seen.term is not None and self._frozen == seen.term.number and server.running else 0
        text = json.dumps({"frozen": frozen, "received": server.received if frozen else 0})
        if text != self._reported:
            self._etcd.put(f"{self._prefix}members/{self.me}", text, self._member_lease)
            self._reported = text

    def _change(self, before: dict[str, int], puts: dict[str, tuple[str, str]], deletes: list[str]) -> bool:
        return self._etcd.change(
            {self._prefix + key: revision for key, revision in before.items()},
            {self._prefix + key: value for key, value in puts.items()},
            [self._prefix + key for key in deletes],
        )

    def hand_over(self, to: str) -> str:
        """Gives the leadership to another, which has everything then. Empty, or why not."""
        from ccx_agent.mysql_gtid import in_term

        with self._lock:
            entries = self._etcd.everything(self._prefix)
            seen = self._seen(entries)
            if seen.leader != self.me:
                return f"{self.me} does not lead"
            if to not in seen.nodes or to == self.me:
                return f"{to} is no replica"
            # Meanwhile nobody renews it.
            if not self._renewed(entries["leader"].lease):
                return f"{self.me} does not lead any more"
            self.server.hold()
            held = in_term(self.server.look().server, seen.term)
            if not held.running:
                return f"{self.me} does not answer"
            stated = json.dumps({"to": to, "at": time.time(), "received": held.received})
            gone = self._change({"leader": entries["leader"].revision}, {"hand": (stated, "0")}, ["leader"])
        self._wake.set()
        return "" if gone else f"{self.me} does not lead any more"

    def renew_tls(self) -> None:
        from ccx_agent.keeper_web import client_context

        with self._lock:
            self._etcd.forget_connection(client_context(self.told["tls"]))
            self.server.renew_tls()

    def _show(self, server: Any, more: dict[str, Any], seen: Any, action: Any) -> None:
        from ccx_agent import notes
        from ccx_agent.room import room

        self.shown = {
            **more,
            "label": self.me,
            "leader": seen.leader,
            "term": seen.term.number if seen.term else 0,
            "term_start": seen.term.start if seen.term else 0,
            "nodes": sorted(seen.nodes),
            "running": server.running,
            "writable": server.writable,
            "receiving": server.receiving,
            "applying": server.applying,
            "received": server.received,
            "applied": server.applied,
            "source": server.source,
            "note": action.why,
            "copied": notes.read(Path(self.told["progress_file"])) or 0,
            "room": room(self.told["binlogs"]),
            "errant": sorted(path.name for path in Path(self.told["errant"]).glob("*.sql")),
        }

    def _say(self, words: str) -> None:
        if words != self._said:
            print(words, flush=True)
            self._said = words


def main(path: str) -> None:
    from ccx_agent.keeper_web import keep

    told = json.loads(Path(path).read_text())
    keeper = Keeper(told)
    keep(keeper, told, keeper.renew_tls)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main(*sys.argv[1:])
