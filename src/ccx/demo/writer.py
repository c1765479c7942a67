"""A client that writes numbered rows all the time and remembers which were acknowledged.

It is the judge of a failover: the longest pause between two acknowledgements is the gap in writes, an acknowledged
number that is not in the table is a lost write, and two servers that acknowledged side by side are two primaries.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection, Connection, sql

from ccx.demo.ledger import Acknowledgement, Ledger, Overlap, Primary
from ccx.demo.race import first_to_accept_writes, hang_up

PATIENCE_SECONDS = 1.0
"""How long an answer is waited for before the other nodes are tried too. One that comes later still counts."""
_BEGIN_SECONDS = 5.0
_LAST_ANSWERS_SECONDS = 2.0
_MOST_STRAGGLERS = 8

_TIMELINE_AND_ADDRESS = """
    select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int, host(inet_server_addr())
"""


class Writer:
    """Writes one row per commit, about ``rate`` a second, to whichever node accepts writes.

    ``nodes``: libpq parameters of each node (``host``, ``hostaddr``, ``port``, ``user``, ``password``, ``dbname``,
    ``sslmode``, ``sslrootcert`` …). They are tried side by side, so a dead one costs no time. Runs in a thread of its
    own between :meth:`start` and :meth:`stop`, or as a context manager. Everything else may be called at any time.
    """

    def __init__(self, nodes: Sequence[Mapping[str, Any]], table: str = "ccx_demo", *, rate: float = 200) -> None:
        self.nodes = [dict(node) for node in nodes]
        self.table = table
        self._insert_row = sql.SQL("insert into {} (number) values (%s)").format(sql.Identifier(table))
        self._pause = 1 / rate
        self._ledger = Ledger()
        self._progress = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._failure: BaseException | None = None
        self._refusals: dict[str, str] = {}
        self._stragglers: dict[asyncio.Task[bool], AsyncConnection[Any]] = {}

    def start(self, timeout: float = 30) -> Self:
        """Returns after the first acknowledgement. Raises TimeoutError, saying why no node accepted a write."""
        self._thread.start()
        try:
            self.wait_for(1, timeout)
        except BaseException:
            self._stopping.set()
            raise
        return self

    def stop(self) -> None:
        """Stops, and waits some seconds for answers that are under way. May be repeated."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_for(self, more: int, timeout: float) -> None:
        """Returns when ``more`` rows were acknowledged from now on. Raises TimeoutError after ``timeout`` seconds."""
        goal = len(self._ledger) + more
        with self._progress:
            reached = self._progress.wait_for(lambda: len(self._ledger) >= goal or self._failure is not None, timeout)
        if self._failure is not None:
            raise self._failure
        if not reached:
            why = "; ".join(f"{node}: {refusal}" for node, refusal in sorted(self._refusals.items()))
            raise TimeoutError(
                f"{more} more writes were not acknowledged within {timeout:.0f} s ({why or 'no answer'})"
            )

    @property
    def acknowledged(self) -> list[Acknowledgement]:
        """What was acknowledged so far, in the order in which the answers came."""
        return self._ledger.acknowledged

    @property
    def unacknowledged(self) -> list[int]:
        """Numbers that were sent without an answer: each may or may not be in the table; neither is a fault."""
        return self._ledger.unacknowledged

    def gap(self) -> float:
        """The longest pause between two acknowledgements, in seconds; 0 when there are fewer than two."""
        return self._ledger.gap()

    def lost(self, connection: Connection[Any]) -> list[int]:
        """Acknowledged numbers that are not in the table, as ``connection`` sees it."""
        rows = connection.execute(sql.SQL("select number from {}").format(sql.Identifier(self.table))).fetchall()
        return self._ledger.missing_from(row[0] for row in rows)

    def overlapping_primaries(self) -> list[Overlap]:
        """Writes that an earlier primary accepted after a later one had acknowledged; one for each such pair."""
        return self._ledger.overlapping_primaries()

    def _run(self) -> None:
        try:
            asyncio.run(self._write())
        except BaseException as error:  # handed to whoever waits for us
            self._failure = error
        with self._progress:
            self._progress.notify_all()

    async def _write(self) -> None:
        number = 0
        while True:
            connection = await first_to_accept_writes(self.nodes, self._stopping.is_set, self._refusals)
            if connection is None:
                break
            try:
                highest, primary = await self._begin(connection)
            except psycopg.OperationalError:
                await connection.close()
                continue
            number = await self._write_to(connection, primary, max(number, highest))
        await self._last_answers()

    async def _write_to(self, connection: AsyncConnection[Any], primary: Primary, number: int) -> int:
        """Writes from ``number + 1`` on until the server fails or stalls; the last number that was sent."""
        due = time.monotonic()
        while not self._stopping.is_set():
            number += 1
            attempt = asyncio.create_task(self._insert(connection, primary, number))
            await asyncio.wait({attempt}, timeout=PATIENCE_SECONDS)
            if not attempt.done():
                self._leave_behind(attempt, connection)
                return number
            if not attempt.result():
                return number
            due = max(due + self._pause, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        await connection.close()
        return number

    async def _insert(self, connection: AsyncConnection[Any], primary: Primary, number: int) -> bool:
        """One row, one commit; whether it was acknowledged in time. Else the connection is closed."""
        sent_at = time.monotonic()
        self._ledger.sent(number)
        try:
            await connection.execute(self._insert_row, (number,))
        except psycopg.OperationalError:
            await connection.close()
            return False
        now = time.monotonic()
        self._ledger.acknowledge(Acknowledgement(number, sent_at, now, *primary))
        with self._progress:
            self._progress.notify_all()
        if now - sent_at < PATIENCE_SECONDS:
            return True
        await connection.close()
        return False

    async def _begin(self, connection: AsyncConnection[Any]) -> tuple[int, Primary]:
        """Makes the table if need be; the highest number in it, and who the server is."""
        task = asyncio.create_task(self._look_around(connection))
        await asyncio.wait({task}, timeout=_BEGIN_SECONDS)
        if not task.done():
            hang_up(connection)
        return await task

    async def _look_around(self, connection: AsyncConnection[Any]) -> tuple[int, Primary]:
        table = sql.Identifier(self.table)
        columns = sql.SQL("number bigint primary key, written_at timestamptz not null default clock_timestamp()")
        await connection.execute(sql.SQL("create table if not exists {} ({})").format(table, columns))
        found = await connection.execute(sql.SQL("select coalesce(max(number), 0) from {}").format(table))
        highest = (await found.fetchone() or (0,))[0]
        found = await connection.execute(_TIMELINE_AND_ADDRESS)
        # A primary's connection ends with its primacy, so these hold as long as the connection lives.
        timeline, address = await found.fetchone() or (0, None)
        return highest, (f"{address or connection.info.host}:{connection.info.port}", timeline)

    def _leave_behind(self, attempt: asyncio.Task[bool], connection: AsyncConnection[Any]) -> None:
        """Goes on without the answer, which still counts if it comes. The oldest of too many are given up."""
        self._stragglers = {task: c for task, c in self._stragglers.items() if not task.done()}
        self._stragglers[attempt] = connection
        for _, oldest in list(self._stragglers.items())[:-_MOST_STRAGGLERS]:
            hang_up(oldest)

    async def _last_answers(self) -> None:
        waiting = {task for task in self._stragglers if not task.done()}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_LAST_ANSWERS_SECONDS)
            for task in late:
                hang_up(self._stragglers[task])
            await asyncio.gather(*late)
