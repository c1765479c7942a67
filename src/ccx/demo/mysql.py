"""MySQL, and Percona Server, by PyMySQL: with replicas."""

from __future__ import annotations

import re

from ccx.demo.client import Dropped, Parameters, select
from ccx.demo.ledger import Primary
from ccx.demo.mariadb import MariaDb, MariaDbLine

_SPAN = re.compile(r"(\d+)(?:-(\d+))?")


class MySqlLine(MariaDbLine):
    async def primary(self) -> Primary:
        # A primary writes by itself: what others wrote came from the primaries before it.
        ((executed, ours),) = await self.execute("select @@global.gtid_executed, @@server_uuid")
        return self.server, sum(
            _transactions(of_one) for of_one in executed.split(",") if not of_one.strip().startswith(ours)
        )


class MySql(MariaDb):
    """Implements :class:`ccx.demo.client.Client`. Parameters are MariaDB's."""

    line = MySqlLine
    replicas = "Rpl_semi_sync_source_clients"

    def drop(self, parameters: Parameters, table: str) -> Dropped:
        with self.connect(parameters) as session:
            # The server does not say which transaction it was. Nobody else writes while the table is locked.
            select(session, f"lock tables `{table}` write")
            select(session, "set @before = @@global.gtid_executed")
            select(session, f"drop table `{table}`")
            ((transaction,),) = select(session, "select gtid_subtract(@@global.gtid_executed, @before)")
        return Dropped(f"by the transaction {transaction}", ("--to-lsn", transaction))


def _transactions(of_one: str) -> int:
    """How many, of one server: ``uuid:1-5:9``, or ``uuid:tag:1-5``."""
    spans = (_SPAN.fullmatch(part) for part in of_one.strip().split(":")[1:])
    return sum(int(span[2] or span[1]) - int(span[1]) + 1 for span in spans if span)
