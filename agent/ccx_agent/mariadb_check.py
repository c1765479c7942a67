"""Whether what MariaDB serves is whole, and how many rows it has."""

from __future__ import annotations

from .mariadb_tenants import server
from .mysql_check import Checks
from .mysql_wire import Connection, quoted


def _snapshot(connection: Connection) -> str:
    """The server says where in its log the snapshot is, and which transaction is the last one there."""
    connection.query("start transaction with consistent snapshot")
    shown = {r["Variable_name"]: r["Value"] for r in connection.query("show status like 'binlog_snapshot_%'")}
    at = quoted(shown["Binlog_snapshot_file"]), int(shown["Binlog_snapshot_position"])
    return connection.query(f"select binlog_gtid_pos({at[0]}, {at[1]}) as pos")[0]["pos"]


VERBS = Checks(
    server=server,
    snapshot=_snapshot,
    within="set statement max_statement_time = {seconds} for select count(*) as n from {table}",
    took_too_long=1969,
).verbs("mariadb")
