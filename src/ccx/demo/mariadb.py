"""MariaDB, by PyMySQL: with replicas, or Galera."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pymysql

from ccx.demo.client import Broken, Copies, Dropped, Parameters, select
from ccx.demo.ledger import Primary

_CONNECTED_WITHIN_S = 2.0
_ANSWERED_WITHIN_S = 60

# A peer that vanished without a word is given up a second after it owes us an acknowledgement.
_VANISHED_MS = 1000

_FAILED = (pymysql.OperationalError, pymysql.InterfaceError, pymysql.InternalError, OSError)
"""What another node, or the same one later, may do. The library has a server's refusal to write among them."""

_GALERA = "show global status where variable_name in ('wsrep_ready', 'wsrep_cluster_conf_id', 'wsrep_cluster_size')"

T = TypeVar("T")


class MariaDbLine:
    """PyMySQL blocks: each connection has a thread of its own, and a way to end it from outside."""

    def __init__(self, connection: pymysql.Connection[Any], handle: socket.socket) -> None:
        self._connection, self._handle = connection, handle
        self.server = "{}:{}".format(*handle.getpeername()[:2])
        self._thread = ThreadPoolExecutor(1)

    async def shake_hands(self, sock: socket.socket) -> None:
        await self._run(lambda: self._connection.connect(sock))

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
        def ask() -> list[tuple[Any, ...]]:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall())

        return await self._run(ask)

    async def primary(self) -> Primary:
        if (galera := dict(await self.execute(_GALERA))).get("wsrep_ready") == "ON":
            return self.server, int(galera["wsrep_cluster_conf_id"])  # the group's view of who belongs to it
        # A primary writes by itself: what it applied last came from the primary before it.
        ((position,),) = await self.execute("select @@gtid_slave_pos")
        return self.server, max((int(number) for number in re.findall(r"-(\d+)(?:,|$)", position or "")), default=0)

    async def close(self) -> None:
        with suppress(Broken):
            await self._run(self._connection.close)
        self.let_go()

    def hang_up(self) -> None:
        with suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        self._handle.close()
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except _FAILED as error:
            raise Broken(_reason(error)) from error
        except RuntimeError as error:  # it is closed, and takes no more work
            raise Broken(str(error)) from error


class MariaDb:
    """Implements :class:`ccx.demo.client.Client`. Parameters: ``host``, ``address``, ``port``, ``user`` …, ``ca``."""

    line: type[MariaDbLine] = MariaDbLine
    replicas = "Rpl_semi_sync_master_clients"
    """The server's count of those that a write may wait for."""
    address = "address"
    timestamps = "timestamp(6) not null default current_timestamp(6)"
    errors: tuple[type[Exception], ...] = (pymysql.MySQLError, OSError)
    no_table: type[Exception] = pymysql.ProgrammingError

    def parameters(self, told: Parameters, host: str, address: str) -> Parameters:
        common = {name: told[name] for name in ("user", "password", "database")}
        return {**common, "host": host, "address": address, "port": int(told["port"]), "ca": told["ssl-ca"]}

    async def open(self, node: Parameters) -> MariaDbLine:
        line: MariaDbLine | None = None
        try:
            async with asyncio.timeout(_CONNECTED_WITHIN_S):
                sock = await _reach(node)
                line = self.line(_prepared(node), sock.dup())
                await line.shake_hands(sock)
                if await line.execute("select @@read_only") != [(0,)]:
                    raise Broken("it is read-only")
            return line
        except BaseException as error:
            if line is not None:
                line.hang_up()
                line.let_go()
            if isinstance(error, OSError):  # so is a time that is over
                raise Broken(_reason(error)) from error
            raise

    @contextmanager
    def connect(self, parameters: Parameters) -> Any:
        connection = _prepared(parameters, read_timeout=_ANSWERED_WITHIN_S)
        where = (parameters["address"], parameters["port"])
        connection.connect(socket.create_connection(where, _CONNECTED_WITHIN_S))
        with connection:
            yield connection

    def is_replica(self, parameters: Parameters) -> bool:
        with self.connect(parameters) as session:
            return select(session, "select @@read_only") == [(1,)]

    def copies(self, parameters: Parameters) -> Copies:
        with self.connect(parameters) as session:
            if (galera := dict(select(session, _GALERA))).get("wsrep_ready") == "ON":
                members = int(galera["wsrep_cluster_size"])
                return Copies(members - 1, f"a write is with all {members} members before it is acknowledged")
            ((_, number),) = select(session, f"show global status like '{self.replicas}'")
        return Copies(int(number), f"one replica at least is synchronous: a write waits for any 1 of {number}")

    def drop(self, parameters: Parameters, table: str) -> Dropped:
        with self.connect(parameters) as session:
            select(session, f"drop table `{table}`")
            ((transaction,),) = select(session, "select @@last_gtid")
        return Dropped(f"by the transaction {transaction}", ("--to-lsn", transaction))


async def _reach(node: Parameters) -> socket.socket:
    """A connection to its address, that notices soon when the other end is gone."""
    sock = socket.socket(socket.AF_INET6 if ":" in node["address"] else socket.AF_INET)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (node["address"], node["port"]))
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_NODELAY, 1), (socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2),
            (socket.TCP_USER_TIMEOUT, _VANISHED_MS),
        ):  # fmt: skip
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except BaseException:
        sock.close()
        raise
    return sock


def _prepared(node: Parameters, **more: Any) -> pymysql.Connection[Any]:
    """Not connected yet; the certificate will be verified, against ``host``."""
    return pymysql.connect(
        host=node["host"], port=node["port"], user=node["user"], password=node["password"], database=node["database"],
        ssl=ssl.create_default_context(cafile=node["ca"]), autocommit=True, defer_connect=True, **more,
    )  # fmt: skip


def _reason(error: Exception) -> str:
    return str(error.args[-1] if error.args else error) or type(error).__name__
