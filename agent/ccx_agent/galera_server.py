"""The member of a Galera group on this node, as its keeper sees it and changes it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .galera_apart import abandoned
from .galera_dialect import galera_dialect
from .galera_rules import Server
from .mysql_wire import Connection, ServerRefused, ServerSilent, quoted
from .mysql_wire import Row as Answer

_LOOK = 2.0
"""Seconds for an answer to a question."""
_CHANGE = 10.0
TABLE = "mysql.ccx_writer"
"""One row: who accepts writes, in which term, behind which transaction that began; and whether reads elsewhere wait.

The group itself sees to it that all members have the same.
"""
_STATUS = """show global status where variable_name in
 ('wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state_comment', 'wsrep_incoming_addresses',
  'wsrep_cluster_state_uuid', 'wsrep_last_committed', 'wsrep_flow_control_paused', 'wsrep_local_recv_queue',
  'wsrep_cluster_conf_id')"""
_SWITCHES = "show global variables where variable_name in ('read_only', 'wsrep_desync', 'wsrep_sync_wait')"
_AT_ONCE = "set session wsrep_sync_wait = 0"
"""Whatever others' reads wait for: who watches a member must not wait until it has caught up."""
_NO_TABLE = 1146
_CONFLICTS = (1205, 1213)


@dataclass(frozen=True)
class Row:
    """What the group itself says."""

    writer: str | None = None
    term: int = 0
    start: int = 0
    """The last transaction before the term."""
    current: bool = False
    """Who reads on a member that takes no writes sees all that was acknowledged before."""


@dataclass(frozen=True)
class Look:
    """One look at the server: what the rules need, and what else is worth showing."""

    server: Server
    row: Row = Row()
    waits: bool = False
    """New sessions here wait with a read until the member has all that was acknowledged before."""
    shown: dict[str, Any] = field(default_factory=dict)


class Galera:
    """The server of ``configuration`` (the keeper's file). Its connection is kept, and made anew when it broke."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.told = configuration
        self._speech = galera_dialect(configuration)
        self._kept: Connection | None = None

    def ask(self, statement: str, limit: float = _LOOK) -> list[Answer]:
        if self._kept is None:
            self._kept = Connection(self.told["socket"], "mysql", _LOOK)
            self._kept.query(_AT_ONCE)
        try:
            return self._kept.query(statement, limit)
        except ServerSilent:
            self._kept = None
            raise

    def look(self) -> Look:
        """Never raises: a server that is silent does not run. One without a group answers ``show`` and no more."""
        try:
            status = {row["Variable_name"]: row["Value"] for row in self.ask(_STATUS)}
            switches = {row["Variable_name"]: row["Value"] for row in self.ask(_SWITCHES)}
            ready = status.get("wsrep_ready") == "ON" and status.get("wsrep_cluster_status") == "Primary"
            row = self._row() if ready else Row()
        except (ServerSilent, ServerRefused) as error:
            return Look(Server(running=False), shown={"err": str(error)})
        labels = {address: label for label, address in self.told["nodes"].items()}
        incoming = (entry.rsplit(":", 1)[0] for entry in status.get("wsrep_incoming_addresses", "").split(","))
        server = Server(
            running=True,
            writable=switches["read_only"] == "OFF",
            ready=ready,
            state=status.get("wsrep_local_state_comment", ""),
            members=tuple(sorted(labels[address] for address in incoming if address in labels)),
            writer=row.writer,
            abandoned=switches["wsrep_desync"] == "ON" and abandoned(Path(self.told["apart_file"])),
        )
        shown = {
            "cluster": status.get("wsrep_cluster_status", ""),
            "history": status.get("wsrep_cluster_state_uuid", ""),
            "committed": _number(status.get("wsrep_last_committed", "")),
            "paused": float(status.get("wsrep_flow_control_paused") or 0),
            "queue": _number(status.get("wsrep_local_recv_queue", "")),
        }
        return Look(server, row, switches["wsrep_sync_wait"] != "0", shown)

    def _row(self) -> Row:
        try:
            (found,) = self.ask(f"select label, term, start, current_reads from {TABLE}")  # noqa: S608 - ours
        except ServerRefused as error:
            if error.number == _NO_TABLE:
                return Row()
            raise
        except ValueError:
            return Row()
        return Row(found["label"], int(found["term"]), int(found["start"]), found["current_reads"] == "1")

    def claim(self, label: str, term: int) -> bool:
        """Writes down that ``label`` accepts writes, if nobody was faster since ``term``. Whether it says so now."""
        if term == 0:
            self.ask(
                f"create table if not exists {TABLE}"
                " (one tinyint primary key, label varchar(40) not null, term bigint not null, start bigint not null,"
                " current_reads tinyint not null default 0) engine = innodb",
                _CHANGE,
            )
        # The claim is a transaction of the group's history as others are: this is before it, on every member.
        start = self._speech.place(self.ask(self._speech.history)[0]["pos"], self.told["domain"])
        change = (
            f"insert ignore into {TABLE} (one, label, term, start) values (1, {quoted(label)}, 1, {start})"  # noqa: S608 - ours
            if term == 0
            else f"update {TABLE} set label = {quoted(label)}, term = {term + 1}, start = {start}"  # noqa: S608 - ours
            f" where term = {term}"
        )
        try:
            self.ask(change, _CHANGE)
        except ServerRefused as error:
            # Two members wrote at once: the group lets one of them win, and tells the other so.
            if error.number not in _CONFLICTS:
                raise
        return self._row().writer == label

    def open(self) -> None:
        self.ask("set global read_only = off", _CHANGE)

    def close(self) -> None:
        self.ask("set global read_only = on", _CHANGE)

    def hold(self) -> None:
        """Before another takes over: lets nobody write any more."""
        self.close()
        ours = ", ".join(map(quoted, self._speech.ours))
        for row in self.ask(f"select id as id from information_schema.processlist where user not in ({ours})"):  # noqa: S608 - ours
            with suppress(ServerRefused):  # it has gone by itself
                self.ask(f"kill connection {int(row['id'])}")

    def wait(self, *, current: bool) -> None:
        """Has the reads of new sessions wait, or not."""
        self.ask(f"set global wsrep_sync_wait = {int(current)}")

    def resync(self) -> None:
        self.ask("set global wsrep_desync = off", _CHANGE)

    def end(self) -> None:
        with suppress(OSError, ValueError):  # it does not run
            os.kill(int(Path(self.told["pid_file"]).read_text()), signal.SIGKILL)
        self._kept = None

    def renew_tls(self) -> None:
        """The group's connections as well."""
        with Connection(self.told["socket"], "mysql", _CHANGE) as session:
            for statement in self._speech.renew_tls:
                session.query(statement)


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else -1
