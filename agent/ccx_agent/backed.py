"""What the programs that back a server up, send its log and restore it have to know of it: of each of the family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .binlog import Transaction
from .mariadb_log import MariaDbLog
from .mysql_gtid import GtidSet
from .mysql_log import MySqlLog
from .mysql_wire import Row, ServerRefused, quoted

PACKET = "--max-allowed-packet=1G"

Ask = Callable[[str], list[Row]]
"""Has the server run a statement."""


class Log(Protocol):
    """How a server's log tells its transactions. Their numbers are their places in the history."""

    def number(self, position: str) -> int:
        """Of the last transaction in a position, as the server states it; 0 for none."""

    def place(self, gtid: str) -> int | None:
        """Of the transaction that is called so; None: only the log tells."""

    def has(self, position: str, gtid: str) -> bool:
        """Whether that transaction is among those up to there."""

    def head(self, file: Path) -> int | None:
        """The last transaction before the file; None: it doesn't say, and nothing is in it."""

    def ends_with(self, file: Path) -> int:
        """The last transaction of the file, or before it where it has none."""

    def transactions(self, file: Path, behind: int) -> Iterator[Transaction]:
        """Those of the file, which begins ``behind`` that one, in order."""

    def too_late(self, moment: float) -> float:
        """From which time on a transaction's is behind that moment."""


@dataclass(frozen=True)
class Backed:
    log: Callable[[int | None, str], Log]
    """By the domain that is told, and by what the server says of what was before its log."""
    looks: str
    """Asks whether it is read-only (``ro``), up to where its history goes (``pos``), what was before its log."""
    waits: str
    """The status variable that counts sessions which wait for a replica."""
    acknowledged: str
    """The one that counts writes which replicas acknowledged."""
    stands_alone: tuple[str, ...]
    """Options of a server that nobody else reaches, which writes no log of its own and may be written to."""
    reads_log: tuple[str, ...]
    """The program that makes statements of a file of the log."""
    takes_log: tuple[str, ...]
    """The client that runs them."""
    agrees: Callable[[Ask, str], None]
    """Has a server on a copy say of its history what is known of the copy: where its data alone don't."""
    settles: Callable[[dict[str, Any], str], list[str]]
    """When it is restored up to there: statements by which it goes on from there as a cluster's first server."""


def backed(told: dict[str, Any]) -> Backed:
    """The server that a program's configuration speaks of."""
    return {"mariadb": _MARIADB, "mysql": _MYSQL}[told.get("speech", "mariadb")]


def log_of(told: dict[str, Any], before: str = "") -> Log:
    return backed(told).log(told.get("domain"), before)


def _mariadb_settles(told: dict[str, Any], gtid: str) -> list[str]:
    """Says in the history where it is; forgets the other cluster's replicas."""
    statements = ["set session sql_log_bin = 0", f"drop user if exists {quoted(told['replication_user'])}@'%'"]
    if gtid:
        where = quoted(gtid)
        statements += ["reset master", f"set global gtid_binlog_state = {where}",
                       f"set global gtid_slave_pos = {where}"]  # fmt: skip
    return statements


def _mysql_agrees(ask: Ask, gtid: str) -> None:
    """Who copies files may have the last transactions' names in a log that it did not bring along."""
    here = GtidSet.parse(ask("select @@global.gtid_executed as gtid")[0]["gtid"])
    if here.spans == GtidSet.parse(gtid).spans:
        return
    try:
        ask("reset binary logs and gtids")
    except ServerRefused:
        ask("reset master")  # before 8.2
    ask(f"set global gtid_purged = {quoted(gtid)}")


def _mysql_settles(told: dict[str, Any], _gtid: str) -> list[str]:
    """Where it is, is in the data. It follows nobody, and lets this cluster's replicas in."""
    return ["reset replica all", *admit(told["replication"])]


def admit(replicas: dict[str, str]) -> list[str]:
    """Makes the user that replicas of MySQL log in by, with the password that they have now."""
    who = f"{quoted(replicas['user'])}@'%'"
    return [
        f"drop user if exists {who}",
        f"create user {who} identified with caching_sha2_password by {quoted(replicas['password'])} require x509",
        f"grant replication slave, backup_admin on *.* to {who}",
    ]


_MARIADB = Backed(
    log=lambda domain, _before: MariaDbLog(domain),
    looks="select @@read_only as ro, @@gtid_binlog_pos as pos",
    waits="Rpl_semi_sync_master_wait_sessions",
    acknowledged="Rpl_semi_sync_master_yes_tx",
    stands_alone=(
        "--skip-networking", "--read-only=0", "--skip-slave-start",
        "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", PACKET,
        # A member's configuration would have it look for its group.
        "--loose-wsrep-on=OFF", "--loose-wsrep-provider=none",
    ),
    reads_log=("mariadb-binlog", "--no-defaults"),
    takes_log=(
        "mariadb", "--no-defaults", "--user=mysql", "--binary-mode", PACKET,
        "--init-command=set session sql_log_bin = 0",
    ),
    agrees=lambda _ask, _gtid: None,
    settles=_mariadb_settles,
)  # fmt: skip

_MYSQL = Backed(
    log=lambda _domain, before: MySqlLog(GtidSet.parse(before)),
    looks="select @@global.read_only as ro, @@global.gtid_executed as pos, @@global.gtid_purged as `before`",
    waits="Rpl_semi_sync_source_wait_sessions",
    acknowledged="Rpl_semi_sync_source_yes_tx",
    stands_alone=(
        "--skip-networking", "--skip-log-bin", "--super-read-only=OFF", "--read-only=OFF", "--skip-replica-start",
        "--innodb-flush-log-at-trx-commit=0", PACKET,
    ),
    reads_log=("mysqlbinlog", "--no-defaults"),
    takes_log=("mysql", "--no-defaults", "--user=mysql", "--binary-mode", PACKET),
    agrees=_mysql_agrees,
    settles=_mysql_settles,
)  # fmt: skip
