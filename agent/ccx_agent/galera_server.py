"""MariaDB with Galera on this node, as its keeper sees it and changes it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .galera_rules import Server
from .mysql_wire import Connection, Row, ServerRefused, ServerSilent, quoted

_LOOK = 2.0
"""Seconds for an answer to a question."""
_CHANGE = 10.0
TABLE = "mysql.ccx_writer"
"""One row: who accepts writes. The group itself sees to it that all members have the same."""
_STATUS = """show global status where variable_name in
 ('wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state_comment', 'wsrep_incoming_addresses',
  'wsrep_cluster_state_uuid', 'wsrep_last_committed', 'wsrep_flow_control_paused', 'wsrep_local_recv_queue',
  'wsrep_cluster_conf_id')"""
_NO_TABLE = 1146
_CONFLICTS = (1205, 1213)


@dataclass(frozen=True)
class Look:
    """One look at the server: what the rules need, and what else is worth showing."""

    server: Server
    term: int = 0
    shown: dict[str, Any] = field(default_factory=dict)


class Galera:
    """The server of ``configuration`` (the keeper's file). Its connection is kept, and made anew when it broke."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.told = configuration
        self._kept: Connection | None = None

    def ask(self, statement: str, limit: float = _LOOK) -> list[Row]:
        if self._kept is None:
            self._kept = Connection(self.told["socket"], "mysql", _LOOK)
        try:
            return self._kept.query(statement, limit)
        except ServerSilent:
            self._kept = None
            raise

    def look(self) -> Look:
        """Never raises: a server that is silent does not run. One without a group answers ``show`` and no more."""
        try:
            status = {row["Variable_name"]: row["Value"] for row in self.ask(_STATUS)}
            (switch,) = self.ask("show global variables like 'read_only'")
            ready = status.get("wsrep_ready") == "ON" and status.get("wsrep_cluster_status") == "Primary"
            writer, term = self._writer() if ready else (None, 0)
        except (ServerSilent, ServerRefused) as error:
            return Look(Server(running=False), shown={"err": str(error)})
        labels = {address: label for label, address in self.told["nodes"].items()}
        incoming = (entry.rsplit(":", 1)[0] for entry in status.get("wsrep_incoming_addresses", "").split(","))
        server = Server(
            running=True,
            writable=switch["Value"] == "OFF",
            ready=ready,
            state=status.get("wsrep_local_state_comment", ""),
            members=tuple(sorted(labels[address] for address in incoming if address in labels)),
            writer=writer,
        )
        shown = {
            "cluster": status.get("wsrep_cluster_status", ""),
            "history": status.get("wsrep_cluster_state_uuid", ""),
            "committed": _number(status.get("wsrep_last_committed", "")),
            "paused": float(status.get("wsrep_flow_control_paused") or 0),
            "queue": _number(status.get("wsrep_local_recv_queue", "")),
        }
        return Look(server, term, shown)

    def _writer(self) -> tuple[str | None, int]:
        try:
            (row,) = self.ask(f"select label, term from {TABLE}")  # noqa: S608 - ours
        except ServerRefused as error:
            if error.number == _NO_TABLE:
                return None, 0
            raise
        except ValueError:
            return None, 0
        return row["label"], int(row["term"])

    def claim(self, label: str, term: int) -> bool:
        """Writes down that ``label`` accepts writes, if nobody was faster since ``term``. Whether it says so now."""
        if term == 0:
            self.ask(
                f"create table if not exists {TABLE}"
                " (one tinyint primary key, label varchar(40) not null, term bigint not null) engine = innodb",
                _CHANGE,
            )
        change = (
            f"insert ignore into {TABLE} values (1, {quoted(label)}, 1)"  # noqa: S608 - ours
            if term == 0
            else f"update {TABLE} set label = {quoted(label)}, term = {term + 1} where term = {term}"  # noqa: S608
        )
        try:
            self.ask(change, _CHANGE)
        except ServerRefused as error:
            # Two members wrote at once: the group lets one of them win, and tells the other so.
            if error.number not in _CONFLICTS:
                raise
        return self._writer()[0] == label

    def open(self) -> None:
        self.ask("set global read_only = off", _CHANGE)

    def close(self) -> None:
        self.ask("set global read_only = on", _CHANGE)

    def hold(self) -> None:
        """Before another takes over: lets nobody write any more."""
        self.close()
        for row in self.ask(
            "select id from information_schema.processlist where user not in ('mysql', 'root', 'system user')"
        ):
            with suppress(ServerRefused):  # it has gone by itself
                self.ask(f"kill connection {int(row['id'])}")

    def end(self) -> None:
        with suppress(OSError, ValueError):  # it does not run
            os.kill(int(Path(self.told["pid_file"]).read_text()), signal.SIGKILL)
        self._kept = None

    def renew_tls(self) -> None:
        """The group's connections as well: the server hands it on to Galera."""
        self.ask("flush ssl", _CHANGE)


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else -1
