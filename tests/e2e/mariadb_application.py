"""Somebody's program that uses MariaDB."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pymysql
from tests.e2e.mariadb_writer import Parameters, Watch, Writer, connect, select
from tests.engine_conformance import Login, Refused


def parameters(login: Login) -> Parameters:
    """PyMySQL's, its certificate verified."""
    return {
        "host": login.host, "address": login.address, "port": login.port, "user": login.user,
        "password": login.password, "database": login.database, "ssl": ssl.create_default_context(cadata=login.ca),
    }  # fmt: skip


class Kept:
    """A connection; one that broke is not made anew."""

    def __init__(self, connection: pymysql.Connection[Any]) -> None:
        self._connection = connection

    async def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            await asyncio.to_thread(cursor.execute, statement)
            return list(cursor.fetchall())


class MariaDbJudge:
    """A writer, and somebody who asks all nodes all the time whether they accept writes."""

    def __init__(self, nodes: list[Login]) -> None:
        told = [parameters(node) for node in nodes]
        self._writer, self._watch = Writer(told), Watch(told)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self._writer.make_table)
        with self._watch.running(), self._writer.running():
            yield

    async def stop(self) -> None:
        await asyncio.to_thread(self._writer.stop)

    def acknowledged(self) -> int:
        return len(self._writer.acknowledged)

    def gap(self) -> float:
        return self._writer.gap()

    async def lost(self, primary: Login) -> list[int]:
        return await asyncio.to_thread(self._writer.lost, parameters(primary))

    def overlaps(self) -> list[Any]:
        return self._watch.overlapping_primaries()


class MariaDbApplication:
    vendor = "mariadb"
    settings: tuple[str, ...] = ("databases=[postgres, mariadb]",)
    image = "baked-mariadb"
    listens = frozenset({22, 2379, 2380, 3306, 8008})
    rows = frozenset({
        "cmon.ssh", "mariadb.keeper", "mariadb.etcd", "node.control-plane", "node.dns-udp", "mariadb.peers.etcd",
        "mariadb.peers.replication",
    })  # fmt: skip
    units = frozenset({"ccx-etcd.service", "ccx-keeper.service"})
    server = "/usr/sbin/mariadbd"
    server_pid = "cat /run/ccx-mariadb/mysqld.pid"
    forbidden = (
        "set global read_only = off", "create user intruder", "select * from mysql.user", "shutdown",
        "grant all on goods.* to ccxadmin", "set global rpl_semi_sync_master_enabled = off",
    )  # fmt: skip
    forbidden_to_the_first = (
        "set global read_only = off", "set global read_only = on", "shutdown", "set session sql_log_bin = 0",
        "create user intruder", "grant all on *.* to ccxadmin", "update mysql.global_priv set priv = ''",
        "flush tables", "set global rpl_semi_sync_master_enabled = off",
    )  # fmt: skip

    async def ask(self, login: Login, statement: str, *, tls: bool = True) -> list[tuple[Any, ...]]:
        told = parameters(login)
        if not tls:
            told |= {"ssl": None, "ssl_disabled": True}
        with _refusals():
            return await asyncio.to_thread(select, told, statement)

    @asynccontextmanager
    async def kept(self, login: Login) -> AsyncIterator[Kept]:
        connection = await asyncio.to_thread(connect, parameters(login))
        try:
            yield Kept(connection)
        finally:
            connection.close()

    async def certificate(self, login: Login) -> bytes:
        def shown() -> bytes:
            with connect(parameters(login)) as connection:
                found: bytes = connection._sock.getpeercert(binary_form=True)  # type: ignore[attr-defined]
                return found

        return await asyncio.to_thread(shown)

    async def read_only(self, login: Login) -> bool:
        return await self.ask(login, "select @@read_only") == [(1,)]

    async def read_elsewhere(self, login: Login, database: str, table: str) -> None:
        await self.ask(login, f"select * from {database}.{table}")

    def judge(self, nodes: list[Login]) -> MariaDbJudge:
        return MariaDbJudge(nodes)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (pymysql.MySQLError, ssl.SSLError) as error:
        raise Refused(str(error)) from error
