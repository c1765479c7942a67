"""MariaDB on this node, as its keeper sees it and changes it. Whoever runs this logs in by the socket, as ``mysql``."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .keeper_rules import Server
from .mysql_wire import Connection, Row, ServerRefused, ServerSilent, quoted

_LOOK = 2.0
"""Seconds for an answer to a question."""
_CHANGE = 20.0
"""Seconds for a change: stopping to receive from a source that is gone waits for the network's patience."""
_GONE = 1236
"""The source refuses to go on from where we are."""
_STATE = """select @@read_only as read_only, @@gtid_binlog_pos as written, @@gtid_slave_pos as applied,
 @@hostname as host, @@version as version"""
_COUNTERS = """show global status where variable_name in
 ('Rpl_semi_sync_master_status', 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_slave_status')"""


@dataclass(frozen=True)
class Look:
    """One look at the server: what the rules need, and what else is worth showing."""

    server: Server
    shown: dict[str, Any] = field(default_factory=dict)


class MariaDb:
    """The server of ``configuration`` (the keeper's file). Its connection is kept, and made anew when it broke."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._told = configuration
        self._kept: Connection | None = None

    def ask(self, statement: str, limit: float = _LOOK) -> list[Row]:
        if self._kept is None:
            self._kept = Connection(self._told["socket"], "mysql", _LOOK)
        try:
            return self._kept.query(statement, limit)
        except ServerSilent:
            self._kept = None
            raise

    def look(self) -> Look:
        """Never raises: a server that is silent does not run."""
        try:
            state = self.ask(_STATE)[0]
            follows = next(iter(self.ask("show slave status")), {})
            counters = {row["Variable_name"]: row["Value"] for row in self.ask(_COUNTERS)}
        except (ServerSilent, ServerRefused) as error:
            return Look(Server(running=False), {"err": str(error)})
        file, position = self._log_end()
        written, applied = number(state["written"]), number(state["applied"])
        server = Server(
            running=True,
            writable=state["read_only"] in ("0", "OFF"),
            received=max(written, applied, number(follows.get("Gtid_IO_Pos", ""))),
            applied=max(written, applied),
            source=follows.get("Master_Host", ""),
            receiving=follows.get("Slave_IO_Running") in ("Yes", "Preparing", "Connecting"),
            applying=follows.get("Slave_SQL_Running") == "Yes",
            stuck=_stuck(follows),
        )
        shown = {
            "version": state["version"],
            "connected": follows.get("Slave_IO_Running") == "Yes",
            "synchronous": counters.get("Rpl_semi_sync_slave_status") == "ON",
            "semi_sync": counters.get("Rpl_semi_sync_master_status") == "ON",
            "copies": int(counters.get("Rpl_semi_sync_master_clients") or 0),
            "file": follows.get("Relay_Master_Log_File") or file,
            "position": int(follows.get("Exec_Master_Log_Pos") or position),
            "err": follows.get("Last_SQL_Error") or follows.get("Last_IO_Error") or "",
        }
        return Look(server, shown)

    def _log_end(self) -> tuple[str, int]:
        """The file that the server's own log is in now, and its size.

        Asked for it, the server would not answer while two writes wait for a replica: the second holds the log.
        """
        newest = max(Path(self._told["binlogs"]).glob("binlog.*[0-9]"), default=None)  # each has an index beside it
        return (newest.name, newest.stat().st_size) if newest else ("", 0)

    def freeze(self) -> None:
        """Receives no more. What is here already goes on being applied."""
        self.ask("stop slave io_thread", _CHANGE)

    def apply(self) -> None:
        self.ask("start slave sql_thread", _CHANGE)

    def promote(self, sure: Callable[[], bool], *, semi_sync: bool) -> None:
        """Accepts writes, each of which waits for a replica; if we are still ``sure`` to lead when all is prepared."""
        self.ask("stop slave", _CHANGE)
        self.ask("reset slave all", _CHANGE)
        self.ask(f"set global rpl_semi_sync_master_enabled = {'on' if semi_sync else 'off'}")
        if sure():
            self.ask("set global read_only = off")

    def follow(self, address: str, now: Server) -> None:
        """Replicates from ``address``. One that led before goes on from its own last transaction."""
        if now.source == address:
            self.ask("start slave", _CHANGE)
            return
        demote = not now.source and now.applied > 0
        tls = {name: quoted(self._told["tls"][name]) for name in ("ca", "certificate", "key")}
        self.ask("stop slave", _CHANGE)
        if copied := self._copied():
            self.ask(f"set global gtid_slave_pos = {quoted(copied)}", _CHANGE)
            demote = False
        self.ask(
            f"change master to master_host = {quoted(address)}, master_port = 3306,"
            f" master_user = {quoted(self._told['replication']['user'])},"
            f" master_password = {quoted(self._told['replication']['password'])},"
            f" master_ssl = 1, master_ssl_ca = {tls['ca']}, master_ssl_cert = {tls['certificate']},"
            f" master_ssl_key = {tls['key']}, master_ssl_verify_server_cert = 1, master_connect_retry = 1,"
            f" master_heartbeat_period = 1, master_use_gtid = slave_pos"
            + (", master_demote_to_slave = 1" if demote else ""),
            _CHANGE,
        )
        self.ask("start slave", _CHANGE)
        self._copied_file().unlink(missing_ok=True)

    def hold(self) -> int:
        """Before another takes over: lets nobody write any more, and says which transaction was the last."""
        self.ask("set global read_only = on", _CHANGE)
        ours = ", ".join(map(quoted, ("mysql", "system user", self._told["replication"]["user"])))
        for row in self.ask(f"select id from information_schema.processlist where user not in ({ours})"):  # noqa: S608
            with suppress(ServerRefused):  # it has gone by itself
                self.ask(f"kill connection {int(row['id'])}")
        return number(self.ask("select @@gtid_binlog_pos as written")[0]["written"])

    def fence(self) -> None:
        """Ends the server at once. What waits for a replica is never acknowledged."""
        with suppress(OSError, ValueError):  # it does not run
            os.kill(int(Path(self._told["pid_file"]).read_text()), signal.SIGKILL)
        self._kept = None

    def rebuild(self) -> None:
        """Marks the data as to be given up, and ends the server; what prepares its next start makes a copy instead."""
        Path(self._told["rebuild_file"]).touch()
        self.fence()

    def admit_replicas(self) -> None:
        """Makes the user that replicas log in by, here alone: replicas have theirs, before they can replicate it."""
        user = self._told["replication"]
        who = f"{quoted(user['user'])}@'%'"
        if self.ask(f"select 1 as n from mysql.global_priv where user = {quoted(user['user'])}"):  # noqa: S608
            return
        self.ask("set session sql_log_bin = 0")
        try:
            self.ask(
                f"create user {who} identified via mysql_native_password"
                f" using password({quoted(user['password'])}) require x509"
            )
            self.ask(f"grant replication slave on *.* to {who}")
        finally:
            self.ask("set session sql_log_bin = 1")

    def renew_tls(self) -> None:
        # Here alone: in a replica's own log it would be a transaction that nobody else has.
        self.ask("flush local ssl", _CHANGE)

    def _copied_file(self) -> Path:
        return Path(self._told["copied_file"])

    def _copied(self) -> str:
        """The last transaction in a copy that has not begun to replicate yet."""
        try:
            return self._copied_file().read_text().strip()
        except FileNotFoundError:
            return ""


def number(position: str) -> int:
    """The last transaction's number in a position. There is one domain, and one writer at a time."""
    return max((int(part.rsplit("-", 1)[1]) for part in position.split(",") if part.strip()), default=0)


def _stuck(follows: Row) -> str:
    """The errors that no waiting cures."""
    if int(follows.get("Last_IO_Errno") or 0) == _GONE and "GTID" in follows.get("Last_IO_Error", ""):
        return f"its history is not the leader's: {follows['Last_IO_Error'][:300]}"
    if int(follows.get("Last_SQL_Errno") or 0):
        return f"it can't apply what it received: {follows['Last_SQL_Error'][:300]}"
    return ""
