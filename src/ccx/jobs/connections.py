"""The runner's own connections to the metadata database: a few, kept, and replaced when they break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row
from sqlalchemy.ext.asyncio import AsyncEngine

from ccx.jobs.failures import pause_s

logger = structlog.get_logger(__name__)

Connection = psycopg.AsyncConnection[DictRow]


def parameters(engine: AsyncEngine) -> dict[str, Any]:
    """What psycopg needs in order to connect as the engine does."""
    _, keywords = engine.dialect.create_connect_args(engine.url)
    return {**keywords, "autocommit": True, "application_name": "ccx-jobs"}


async def notices(connection: Connection) -> AsyncIterator[str]:
    """The payloads that the server notifies this connection of, for ever. Raises psycopg.OperationalError.

    It sleeps until the socket says something. The library's own generator looks ten times a second, for
    interactive use, and a control plane that nobody asks anything would spend half of its processor time on that.
    """
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    socket = connection.fileno()
    loop.add_reader(socket, readable.set)
    try:
        while True:
            while (notice := connection.pgconn.notifies()) is not None:
                yield notice.extra.decode()
            readable.clear()
            await readable.wait()
            connection.pgconn.consume_input()
    finally:
        loop.remove_reader(socket)


class Connections:
    """Runs single statements, each a transaction of its own. One that a restart of the database broke runs again.

    So every statement must bear being run twice. Writes do, as they name what they make and carry the token.
    """

    def __init__(self, parameters: Mapping[str, Any], size: int, on_trouble: Callable[[], None] = lambda: None) -> None:
        self._parameters = dict(parameters)
        self._limit = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._on_trouble = on_trouble

    async def connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(**self._parameters, row_factory=dict_row)

    async def fetch(self, statement: str, values: Mapping[str, Any]) -> list[DictRow]:
        """The statement's rows. Waits for the database as long as it takes; other errors are raised."""
        tries = 0
        async with self._limit:
            while True:
                try:
                    return await self._once(statement, values)
                except psycopg.OperationalError as exc:
                    tries += 1
                    self._on_trouble()
                    logger.warning("the metadata database did not answer", error=type(exc).__name__, tries=tries)
                    await asyncio.sleep(pause_s(tries, first=0.05, longest=1.0))

    async def _once(self, statement: str, values: Mapping[str, Any]) -> list[DictRow]:
        connection = self._idle.pop() if self._idle else await self.connect()
        reusable = False
        try:
            cursor = await connection.execute(statement, values)
            rows = await cursor.fetchall()
            reusable = True
            return rows
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            reusable = not connection.closed
            raise
        finally:
            # Not after a cancellation: the answer may still be under way.
            if reusable:
                self._idle.append(connection)
            else:
                await connection.close()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()
