"""How each server of the family is asked and told what keepers need. Pure: statements, and what answers mean.

MariaDB keeps the old words. MySQL and Percona Server renamed them in the course of 8.0, and 8.4 refuses some of the old
ones: from 8.0.26 on one set of words does for all, and from 8.0.30 on one set of parameters. Older ones are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from .mariadb_log import number
from .mysql_gtid import GtidSet
from .mysql_wire import Row, quoted

OLDEST = (8, 0, 30)
_REFUSALS = (1236, 13114)
"""The source can't give what comes after that which we have."""
_PASSING = (3, 20, 28, 1021, 1026, 1114, 1205, 1213)
"""Errors of applying that pass: no room on the volume, locks. To make such a node anew would take more room still."""


@dataclass(frozen=True)
class Position:
    """Numbers of the last transaction that is here, and of the last one that is applied."""

    received: int
    applied: int
    history: str = ""
    """All that are here, where numbers don't say it."""
    origin: str = ""
    """What its own transactions are called by."""
    own: bool = False
    """The last one was taken here, and nobody else may have it."""


@dataclass(frozen=True)
class Following:
    """How a server replicates, in one vocabulary."""

    source: str = ""
    connected: bool = False
    receiving: bool = False
    applying: bool = False
    received: str = ""
    """Up to which transaction, in the server's own words."""
    file: str = ""
    position: int = 0
    """Where in the source's log it is with applying."""
    receive_error: tuple[int, str] = (0, "")
    apply_error: tuple[int, str] = (0, "")

    @property
    def stuck(self) -> str:
        """The errors that no waiting cures."""
        number, words = self.receive_error
        if number in _REFUSALS and "GTID" in words:
            return f"its history is not the leader's: {words[:300]}"
        number, words = self.apply_error
        return f"it can't apply what it received: {words[:300]}" if number and number not in _PASSING else ""

    @property
    def purged(self) -> bool:
        """The source's log no longer has what would come next."""
        number, words = self.receive_error
        return number in _REFUSALS and "purged" in words


@dataclass(frozen=True)
class Source:
    """Whom to replicate from, and as whom."""

    address: str
    user: str
    password: str
    tls: dict[str, str]
    """Files: ``ca``, ``certificate``, ``key``."""


class Dialect(Protocol):
    state: str
    """Asks for ``read_only``, ``version`` and what :meth:`position` needs."""
    following: str
    semi_sync: Mapping[str, str]
    """Status variables: ``source``, ``copies``, ``replica``."""
    stop_receiving: str
    start_applying: str
    start: str
    hold: str
    """Nobody may write any more."""
    open: str
    renew_tls: tuple[str, ...]
    """Here alone: in a replica's own log it would be a transaction that nobody else has."""

    def position(self, state: Row, following: Following) -> Position: ...

    def read(self, row: Row) -> Following: ...

    def lead(self, *, semi_sync: bool) -> tuple[str, ...]:
        """Follow nobody, and have writes wait for a replica."""

    def follow(self, source: Source, *, copied: str, led: bool) -> tuple[str, ...]:
        """``copied``: up to where the data were copied, if they were just now; ``led``: it was a primary before."""

    def known(self, user: str) -> str:
        """Asks for a row if there is that user; empty: it is there from the beginning."""

    def admit(self, user: str, password: str) -> tuple[str, ...]:
        """Makes the user that replicas log in by."""


class MariaDb:
    state = """select @@read_only as read_only, @@gtid_binlog_pos as written, @@gtid_slave_pos as applied,
 @@server_id as id, @@version as version"""
    following = "show slave status"
    semi_sync: Mapping[str, str] = MappingProxyType({
        "source": "Rpl_semi_sync_master_status", "copies": "Rpl_semi_sync_master_clients",
        "replica": "Rpl_semi_sync_slave_status",
    })  # fmt: skip
    stop_receiving = "stop slave io_thread"
    start_applying = "start slave sql_thread"
    start = "start slave"
    hold = "set global read_only = on"
    open = "set global read_only = off"
    renew_tls: tuple[str, ...] = ("flush local ssl",)

    def position(self, state: Row, following: Following) -> Position:
        applied = max(number(state["written"]), number(state["applied"]))
        own = number(state["written"]) > 0 and f"-{state['id']}-{number(state['written'])}" in state["written"]
        return Position(max(applied, number(following.received)), applied, own=own)

    def read(self, row: Row) -> Following:
        return _read(row, "Master", "Slave", row.get("Gtid_IO_Pos", ""))

    def lead(self, *, semi_sync: bool) -> tuple[str, ...]:
        return ("stop slave", "reset slave all", f"set global rpl_semi_sync_master_enabled = {_on(semi_sync)}")

    def follow(self, source: Source, *, copied: str, led: bool) -> tuple[str, ...]:
        """One that led before goes on from its own last transaction."""
        tls = {name: quoted(path) for name, path in source.tls.items()}
        return (
            "stop slave",
            *((f"set global gtid_slave_pos = {quoted(copied)}",) if copied else ()),
            f"change master to master_host = {quoted(source.address)}, master_port = 3306,"
            f" master_user = {quoted(source.user)}, master_password = {quoted(source.password)},"
            f" master_ssl = 1, master_ssl_ca = {tls['ca']}, master_ssl_cert = {tls['certificate']},"
            f" master_ssl_key = {tls['key']}, master_ssl_verify_server_cert = 1, master_connect_retry = 1,"
            f" master_heartbeat_period = 1, master_use_gtid = slave_pos"
            + (", master_demote_to_slave = 1" if led and not copied else ""),
            "start slave",
        )

    def known(self, user: str) -> str:
        return f"select 1 as n from mysql.global_priv where user = {quoted(user)}"  # noqa: S608

    def admit(self, user: str, password: str) -> tuple[str, ...]:
        who = f"{quoted(user)}@'%'"
        return (
            f"create user {who} identified via mysql_native_password using password({quoted(password)}) require x509",
            f"grant replication slave on *.* to {who}",
        )


class MySql:
    """MySQL and Percona Server, from :data:`OLDEST` on."""

    state = """select @@global.read_only as read_only, @@global.gtid_executed as executed, @@version as version,
 @@global.server_uuid as origin"""
    following = "show replica status"
    semi_sync: Mapping[str, str] = MappingProxyType({
        "source": "Rpl_semi_sync_source_status", "copies": "Rpl_semi_sync_source_clients",
        "replica": "Rpl_semi_sync_replica_status",
    })  # fmt: skip
    stop_receiving = "stop replica io_thread"
    start_applying = "start replica sql_thread"
    start = "start replica"
    hold = "set global super_read_only = on"
    """Whoever may do everything may not write then, either."""
    open = "set global read_only = off"
    renew_tls: tuple[str, ...] = ("alter instance reload tls",)

    def position(self, state: Row, following: Following) -> Position:
        executed = GtidSet.parse(state["executed"])
        received = executed | GtidSet.parse(following.received)
        return Position(len(received), len(executed), str(received), state["origin"].lower())

    def read(self, row: Row) -> Following:
        return _read(row, "Source", "Replica", row.get("Retrieved_Gtid_Set", ""))

    def lead(self, *, semi_sync: bool) -> tuple[str, ...]:
        return ("stop replica", "reset replica all", f"set global rpl_semi_sync_source_enabled = {_on(semi_sync)}")

    def follow(self, source: Source, *, copied: str, led: bool) -> tuple[str, ...]:
        """It tells the source which transactions it has: where it was before, or what was copied, is in its data."""
        tls = {name: quoted(path) for name, path in source.tls.items()}
        return (
            "stop replica",
            # What it applies would wait for replicas of its own.
            "set global rpl_semi_sync_source_enabled = off",
            f"change replication source to source_host = {quoted(source.address)}, source_port = 3306,"
            f" source_user = {quoted(source.user)}, source_password = {quoted(source.password)},"
            f" source_ssl = 1, source_ssl_ca = {tls['ca']}, source_ssl_cert = {tls['certificate']},"
            f" source_ssl_key = {tls['key']}, source_ssl_verify_server_cert = 1, source_connect_retry = 1,"
            f" source_retry_count = 0, source_heartbeat_period = 1, source_auto_position = 1",
            "start replica",
        )

    def known(self, user: str) -> str:
        return ""

    def admit(self, user: str, password: str) -> tuple[str, ...]:
        return ()


def dialect(version: str) -> Dialect:
    """Of the server that says so of itself (``@@version``). Raises ValueError for one that is too old."""
    if "mariadb" in version.lower():
        return MariaDb()
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None or tuple(map(int, found.groups())) < OLDEST:
        raise ValueError(f"version {version} is older than {'.'.join(map(str, OLDEST))}")
    return MySql()


def _read(row: Row, source: str, replica: str, received: str) -> Following:
    receives = row.get(f"{replica}_IO_Running", "")
    return Following(
        source=row.get(f"{source}_Host", ""),
        connected=receives == "Yes",
        receiving=receives in ("Yes", "Preparing", "Connecting"),
        applying=row.get(f"{replica}_SQL_Running") == "Yes",
        received=received,
        file=row.get(f"Relay_{source}_Log_File", ""),
        position=int(row.get(f"Exec_{source}_Log_Pos") or 0),
        receive_error=(int(row.get("Last_IO_Errno") or 0), row.get("Last_IO_Error", "")),
        apply_error=(int(row.get("Last_SQL_Errno") or 0), row.get("Last_SQL_Error", "")),
    )


def _on(value: bool) -> str:
    return "on" if value else "off"
