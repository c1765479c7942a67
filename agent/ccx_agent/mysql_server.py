"""The server on this node, as its keeper sees it and changes it. Who runs this logs in by the socket, as ``mysql``."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .keeper_rules import Server
from .mysql_dialect import Dialect, Source, dialect
from .mysql_seed import BEHIND
from .mysql_wire import Connection, Row, ServerRefused, ServerSilent, quoted

_LOOK = 2.0
"""Seconds for an answer to a question."""
_CHANGE = 20.0
"""Seconds for a change: stopping to receive from a source that is gone waits for the network's patience."""
_HOLD = 5.0
"""Seconds for what is being written to come to its end: fewer than a leadership lasts."""


@dataclass(frozen=True)
class Look:
    """One look at the server: what the rules need, and what else is worth showing."""

    server: Server
    shown: dict[str, Any] = field(default_factory=dict)


class DatabaseServer:
    """The server of ``configuration`` (the keeper's file). Its connection is kept, and made anew when it broke."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._told = configuration
        self._kept: tuple[Connection, Dialect] | None = None

    def _connected(self) -> tuple[Connection, Dialect]:
        if self._kept is None:
            connection = Connection(self._told["socket"], "mysql", _LOOK)
            self._kept = connection, dialect(connection.query("select @@version as version")[0]["version"])
        return self._kept

    @property
    def speech(self) -> Dialect:
        return self._connected()[1]

    def ask(self, statement: str, limit: float = _LOOK) -> list[Row]:
        connection, _ = self._connected()
        try:
            return connection.query(statement, limit)
        except ServerSilent:
            self._kept = None
            raise

    def _change(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self.ask(statement, _CHANGE)

    def look(self) -> Look:
        """Never raises: a server that is silent does not run."""
        try:
            speech = self.speech
            state = self.ask(speech.state)[0]
            follows = speech.read(next(iter(self.ask(speech.following)), {}))
            counters = self._counters(speech)
        except (ServerSilent, ServerRefused, ValueError) as error:
            return Look(Server(running=False), {"err": str(error)})
        file, position = self._log_end()
        at = speech.position(state, follows)
        server = Server(
            running=True,
            writable=state["read_only"] in ("0", "OFF"),
            received=at.received,
            applied=at.applied,
            source=follows.source,
            receiving=follows.receiving,
            applying=follows.applying,
            stuck=follows.stuck,
            behind=follows.purged and not at.own,
            history=at.history,
            origin=at.origin,
        )
        shown = {
            "version": state["version"],
            "connected": follows.connected,
            "synchronous": counters["replica"] == "ON",
            "semi_sync": counters["source"] == "ON",
            "copies": int(counters["copies"] or 0),
            "file": follows.file or file,
            "position": follows.position or position,
            "err": follows.apply_error[1] or follows.receive_error[1],
        }
        return Look(server, shown)

    def _counters(self, speech: Dialect) -> dict[str, str]:
        names = ", ".join(map(quoted, speech.semi_sync.values()))
        rows = self.ask(f"show global status where variable_name in ({names})")
        found = {row["Variable_name"]: row["Value"] for row in rows}
        return {name: found.get(variable, "") for name, variable in speech.semi_sync.items()}

    def _log_end(self) -> tuple[str, int]:
        """The file that the server's own log is in now, and its size.

        Asked for it, the server would not answer while two writes wait for a replica: the second holds the log.
        """
        newest = max(Path(self._told["binlogs"]).glob("binlog.*[0-9]"), default=None)  # each has an index beside it
        return (newest.name, newest.stat().st_size) if newest else ("", 0)

    def freeze(self) -> None:
        """Receives no more. What is here already goes on being applied."""
        self._change([self.speech.stop_receiving])

    def apply(self) -> None:
        self._change([self.speech.start_applying])

    def promote(self, sure: Callable[[], bool], *, semi_sync: bool) -> None:
        """Accepts writes, each of which waits for a replica; if we are still ``sure`` to lead when all is prepared."""
        self._change(self.speech.lead(semi_sync=semi_sync))
        if sure():
            self.ask(self.speech.open)

    def follow(self, address: str, now: Server) -> None:
        """Replicates from ``address``, from the last transaction on that is here."""
        if now.source == address:
            self._change([self.speech.start])
            return
        user = self._told["replication"]
        source = Source(address, user["user"], user["password"], self._told["tls"])
        self._change(self.speech.follow(source, copied=self._copied(), led=not now.source and now.applied > 0))
        self._copied_file().unlink(missing_ok=True)

    def hold(self) -> None:
        """Before another takes over: lets nobody write any more."""
        self.ask(self.speech.hold, _HOLD)
        ours = ", ".join(map(quoted, ("mysql", "system user", self._told["replication"]["user"], "event_scheduler")))
        for row in self.ask(f"select id from information_schema.processlist where user not in ({ours})"):  # noqa: S608
            with suppress(ServerRefused):  # it has gone by itself
                self.ask(f"kill connection {int(row['id'])}")

    def fence(self) -> None:
        """Ends the server at once. What waits for a replica is never acknowledged."""
        with suppress(OSError, ValueError):  # it does not run
            os.kill(int(Path(self._told["pid_file"]).read_text()), signal.SIGKILL)
        self._kept = None

    def rebuild(self, errant: str, *, behind: bool) -> None:
        """Marks the data as to be given up, and ends the server; what prepares its next start makes a copy instead.

        ``errant``: the transactions that nobody else has, where they have names. ``behind``: it has none.
        """
        Path(self._told["rebuild_file"]).write_text(BEHIND if behind else errant)
        self.fence()

    def admit_replicas(self) -> None:
        """Makes the user that replicas log in by, here alone: replicas have theirs, before they can replicate it."""
        user, password = (self._told["replication"][part] for part in ("user", "password"))
        if (question := self.speech.known(user)) and not self.ask(question):
            self._here_alone(self.speech.admit(user, password))

    def renew_tls(self) -> None:
        self._here_alone(self.speech.renew_tls)

    def _here_alone(self, statements: Iterable[str]) -> None:
        """In no log: in a replica's own they would be transactions that nobody else has."""
        self.ask("set session sql_log_bin = 0")
        try:
            self._change(statements)
        finally:
            self.ask("set session sql_log_bin = 1")

    def _copied_file(self) -> Path:
        return Path(self._told["copied_file"])

    def _copied(self) -> str:
        """The last transaction in a copy that has not begun to replicate yet."""
        try:
            return self._copied_file().read_text().strip()
        except FileNotFoundError:
            return ""
