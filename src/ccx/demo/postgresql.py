"""PostgreSQL, by psycopg."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from ccx.demo.client import Broken, Copies, Dropped, Parameters, select
from ccx.demo.ledger import Primary

_WRITING: dict[str, Any] = {
    "target_session_attrs": "read-write",
    "connect_timeout": 2,
    # A peer that vanished without a word is given up a second after it owes us an acknowledgement.
    "tcp_user_timeout": 1000,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "application_name": "ccx-demo-writer",
}

_TIMELINE_AND_ADDRESS = """
    select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int, host(inet_server_addr())
"""


class _Line:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
        try:
            cursor = await self._connection.execute(statement.encode(), values or None)
            return await cursor.fetchall() if cursor.description else []
        except psycopg.OperationalError as error:
            raise Broken(_reason(error)) from error

    async def primary(self) -> Primary:
        # A primary's connection ends with its primacy, so these hold as long as the connection lives.
        ((timeline, address),) = await self.execute(_TIMELINE_AND_ADDRESS)
        return f"{address or self._connection.info.host}:{self._connection.info.port}", timeline

    async def close(self) -> None:
        with suppress(psycopg.Error):
            await self._connection.close()

    def hang_up(self) -> None:
        # Cancelling would not do: psycopg then asks the server to cancel the statement, and waits for it.
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


class PostgreSql:
    """Implements :class:`ccx.demo.client.Client`. Parameters are libpq's."""

    address = "hostaddr"
    timestamps = "timestamptz not null default clock_timestamp()"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)
    no_table: type[Exception] = psycopg.errors.UndefinedTable

    def parameters(self, told: Parameters, host: str, address: str) -> Parameters:
        rest = {name: value for name, value in told.items() if name != "target_session_attrs"}
        return {**rest, "host": host, "hostaddr": address}

    async def open(self, node: Parameters) -> _Line:
        try:
            return _Line(await AsyncConnection.connect(autocommit=True, **{**_WRITING, **node}))
        except psycopg.OperationalError as error:
            raise Broken(_reason(error)) from error

    def connect(self, parameters: Parameters) -> psycopg.Connection[Any]:
        return psycopg.connect(**parameters)

    def is_replica(self, parameters: Parameters) -> bool:
        with self.connect(parameters) as session:
            return select(session, "select pg_is_in_recovery()") == [(True,)]

    def copies(self, parameters: Parameters) -> Copies:
        with self.connect(parameters) as session:
            synchronous = "select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')"
            ((number,),) = select(session, synchronous)
        return Copies(number, f"one replica at least is synchronous: a write waits for any 1 of {number}")

    def drop(self, parameters: Parameters, table: str) -> Dropped:
        name = sql.Identifier(table)
        with self.connect(parameters) as session:
            session.execute(sql.SQL("lock table {}").format(name))
            ((moment,),) = select(session, "select clock_timestamp()")
            session.execute(sql.SQL("drop table {}").format(name))
        return Dropped(f"right after {moment.isoformat()}", ("--to", moment.isoformat()))


def _reason(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or ["the connection ended"])[-1]
