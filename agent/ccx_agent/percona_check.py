"""Whether what Percona Server or MySQL serves is whole, and how many rows it has."""

from __future__ import annotations

from contextlib import suppress

from .mysql_check import Checks
from .mysql_wire import Connection, ServerRefused
from .percona_tenants import server

_WAITS_S = 1
"""For who is writing just now to come to an end. Others wait meanwhile."""


def _snapshot(connection: Connection) -> str:
    """For a moment nobody commits: what is seen and what the history says are the same then.

    Where somebody does not come to an end so soon (a long statement, a write that waits for a replica) it is not known.
    """
    connection.query(f"set session lock_wait_timeout = {_WAITS_S}")
    point = ""
    with suppress(ServerRefused):
        connection.query("flush tables with read lock")
        point = "held"
    connection.query("start transaction with consistent snapshot")
    if point:
        point = "".join(connection.query("select @@global.gtid_executed as pos")[0]["pos"].split())
        connection.query("unlock tables")
    return point


VERBS = Checks(
    server=server,
    snapshot=_snapshot,
    within="select /*+ max_execution_time({milliseconds}) */ count(*) as n from {table}",
    took_too_long=3024,
).verbs("percona")
