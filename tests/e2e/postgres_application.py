"""Somebody's program that uses PostgreSQL."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from tests.engine_conformance import Login, Refused

from ccx.demo import Writer


class Kept:
    """A connection; one that broke is not made anew."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return await (await self._connection.execute(statement.encode())).fetchall()


class PostgresJudge:
    """The demonstration's writer, which knows of each write which server took it."""

    def __init__(self, nodes: list[dict[str, str]]) -> None:
        self._writer = Writer(nodes, rate=100)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self._writer.start)
        try:
            yield
        finally:
            await self.stop()

    async def stop(self) -> None:
        await asyncio.to_thread(self._writer.stop)

    def acknowledged(self) -> int:
        return len(self._writer.acknowledged)

    def gap(self) -> float:
        return self._writer.gap()

    async def lost(self, primary: Login) -> list[int]:
        def missing() -> list[int]:
            with psycopg.connect(**PostgresApplication.parameters(primary)) as connection:
                return self._writer.lost(connection)

        return await asyncio.to_thread(missing)

    def overlaps(self) -> list[Any]:
        return list(self._writer.overlapping_primaries())


class PostgresApplication:
    vendor = "postgres"
    settings: tuple[str, ...] = ()
    image = "baked"
    listens = frozenset({22, 2379, 2380, 5432, 8008})
    rows = frozenset({
        "cmon.ssh", "postgres.patroni", "postgres.etcd", "node.control-plane", "node.dns-udp", "postgres.peers.etcd",
        "postgres.peers.replication",
    })  # fmt: skip
    units = frozenset({"ccx-etcd.service", "ccx-patroni.service"})
    server = "/usr/lib/postgresql/17/bin/postgres"
    server_pid = "head -n 1 /var/lib/ccx-data/postgresql/17/postmaster.pid"
    forbidden = (
        "create role intruder superuser", "create database more", "alter system set synchronous_commit = off",
        "select * from pg_authid", "copy things to program 'true'", "select pg_switch_wal()",
    )  # fmt: skip
    forbidden_to_the_first = (
        "create role intruder superuser", "alter system set synchronous_commit = off", "select pg_promote()",
        "update pg_authid set rolsuper = true", "copy (select 1) to program 'true'", "select * from pg_authid",
    )  # fmt: skip

    @staticmethod
    def parameters(login: Login) -> dict[str, Any]:
        """libpq's, its certificate verified."""
        # libpq reads a CA from a file only. It is public.
        folder = Path(tempfile.gettempdir()) / "ccx-conformance"
        folder.mkdir(exist_ok=True)
        ca = folder / f"{hash(login.ca):x}.crt"
        ca.write_text(login.ca)
        return {
            "host": login.host, "hostaddr": login.address, "port": str(login.port), "user": login.user,
            "password": login.password, "dbname": login.database, "sslmode": "verify-full", "sslrootcert": str(ca),
            "connect_timeout": "3",
        }  # fmt: skip

    async def ask(self, login: Login, statement: str, *, tls: bool = True) -> list[tuple[Any, ...]]:
        told = self.parameters(login)
        if not tls:
            told["sslmode"] = "disable"
        with _refusals():
            async with await psycopg.AsyncConnection.connect(autocommit=True, **told) as connection:
                cursor = await connection.execute(statement.encode())
                return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def kept(self, login: Login) -> AsyncIterator[Kept]:
        async with await psycopg.AsyncConnection.connect(autocommit=True, **self.parameters(login)) as connection:
            yield Kept(connection)

    async def certificate(self, login: Login) -> bytes:
        reader, writer = await asyncio.open_connection(login.address, login.port)
        try:
            writer.write(bytes.fromhex("0000000804d2162f"))  # SSLRequest
            assert await reader.readexactly(1) == b"S"
            await writer.start_tls(ssl.create_default_context(cadata=login.ca), server_hostname=login.host)
            found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return found
        finally:
            writer.close()

    async def read_only(self, login: Login) -> bool:
        return await self.ask(login, "select pg_is_in_recovery()") == [(True,)]

    async def read_elsewhere(self, login: Login, database: str, table: str) -> None:
        await self.ask(replace(login, database=database), f"select * from {table}")

    def judge(self, nodes: list[Login]) -> PostgresJudge:
        return PostgresJudge([self.parameters(node) for node in nodes])


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.ConnectionTimeout as error:
        raise TimeoutError(str(error)) from error
    except psycopg.Error as error:
        raise Refused(str(error)) from error
