"""How a member of a Galera group is asked and told what differs between MariaDB and Percona XtraDB Cluster. Pure.

Galera's own words (status variables, provider's options, ``grastate.dat``) are the same for both. XtraDB Cluster never
ran here: what is said of it is by Percona's documentation and its published source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .mariadb_log import number
from .mysql_gtid import GtidSet


@dataclass(frozen=True)
class GaleraDialect:
    name: str
    """For people."""
    history: str
    """Asks for ``pos``: up to where the history goes here."""
    place: Callable[[str, int | None], int]
    """Of the last transaction in such a position, by the domain that is told."""
    ours: tuple[str, ...]
    """Users whose sessions a member keeps that is to accept no more writes."""
    renew_tls: tuple[str, ...]
    """For a session of its own: a part of it is said of that session alone."""
    recovers: tuple[str, ...]
    """Options with which the server says how far its data go, where it is read: on its standard error."""


_MARIADB = GaleraDialect(
    name="MariaDB",
    history="select @@gtid_binlog_pos as pos",
    place=number,
    ours=("mysql", "root", "system user"),
    # The server hands it on to Galera.
    renew_tls=("flush ssl",),
    recovers=("--wsrep-recover", "--disable-log-error"),
)

_XTRADB_CLUSTER = GaleraDialect(
    name="Percona XtraDB Cluster",
    history="select @@global.gtid_executed as pos",
    place=lambda position, _domain: len(GtidSet.parse(position)),
    ours=(
        "mysql", "root", "system user", "event_scheduler", "mysql.session", "mysql.pxc.internal.session",
        "mysql.pxc.sst.user",
    ),
    # Here alone, in no log and on no other member. It covers the server's own connections; Galera is told apart.
    renew_tls=(
        "set session wsrep_on = off", "set session sql_log_bin = off", "alter instance reload tls",
        "set global wsrep_provider_options = 'socket.ssl_reload=1'",
    ),
    # By itself the server keeps notes to itself, and this is one.
    recovers=("--wsrep-recover", "--log-error-verbosity=3"),
)  # fmt: skip


def galera_dialect(told: dict[str, Any]) -> GaleraDialect:
    """Of the server that a keeper's configuration speaks of."""
    return {"mariadb": _MARIADB, "mysql": _XTRADB_CLUSTER}[told.get("speech", "mariadb")]
