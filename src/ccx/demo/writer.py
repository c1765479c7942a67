"""A client that writes numbered rows all the time and remembers which were acknowledged.

It is the judge of a failover: the longest pause between two acknowledgements is the gap in writes, an acknowledged
number that is not in the table is a lost write, and two servers that acknowledged side by side are two primaries.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from ccx.demo.client import Broken, Client, Line, Parameters, select
from ccx.demo.ledger import Acknowledgement, Ledger, Overlap, Primary
from ccx.demo.postgresql import PostgreSql
from ccx.demo.race import first_to_accept_writes

PATIENCE_SECONDS = 1.0
"""How long an answer is waited for before the other nodes are tried too. One that comes later still counts."""
_BEGIN_SECONDS = 5.0
_LAST_ANSWERS_SECONDS = 2.0
_MOST_STRAGGLERS = 8


class Writer:
    """Writes one row per commit, about ``rate`` a second, to whichever node accepts writes.

    ``nodes``: parameters of each node, by the names of the client library (of libpq: ``host``, ``hostaddr``, ``port``,
    ``user`` …). They are tried side by side, so a dead one costs no time. ``table`` is a plain word. Runs in a thread
    of its own between :meth:`start` and :meth:`stop`, or as a context manager. Everything else may be called at any
    time.
    """

    def __init__(
        self, nodes: Sequence[Parameters], table: str = "ccx_demo", *, rate: float = 200, client: Client | None = None
    ) -> None:
        assert table.isidentifier(), f"{table!r} would have to be quoted"
        self.nodes = [dict(node) for node in nodes]
        self.table = table
        self._client = client or PostgreSql()
        self._pause = 1 / rate
        self._ledger = Ledger()
        self._progress = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._failure: BaseException | None = None
        self._refusals: dict[str, str] = {}
        self._stragglers: dict[asyncio.Task[bool], Line] = {}

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

    def lost(self, session: Any) -> list[int]:
        """Acknowledged numbers that are not in the table, as the session (DB-API's) sees it."""
        return self._ledger.missing_from(number for (number,) in select(session, f"select number from {self.table}"))

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
            line = await first_to_accept_writes(self._client, self.nodes, self._stopping.is_set, self._refusals)
            if line is None:
                break
            try:
                highest, primary = await self._begin(line)
            except Broken:
                await line.close()
                continue
            number = await self._write_to(line, primary, max(number, highest))
        await self._last_answers()

    async def _write_to(self, line: Line, primary: Primary, number: int) -> int:
        """Writes from ``number + 1`` on until the server fails or stalls; the last number that was sent."""
        due = time.monotonic()
        while not self._stopping.is_set():
            number += 1
            attempt = asyncio.create_task(self._insert(line, primary, number))
            await asyncio.wait({attempt}, timeout=PATIENCE_SECONDS)
            if not attempt.done():
                self._leave_behind(attempt, line)
                return number
            if not attempt.result():
                return number
            due = max(due + self._pause, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        await line.close()
        return number

    async def _insert(self, line: Line, primary: Primary, number: int) -> bool:
        """One row, one commit; whether it was acknowledged in time. Else the connection is closed."""
        sent_at = time.monotonic()
        self._ledger.sent(number)
        try:
            await line.execute(f"insert into {self.table} (number) values (%s)", (number,))
        except Broken:
            await line.close()
            return False
        now = time.monotonic()
        self._ledger.acknowledge(Acknowledgement(number, sent_at, now, *primary))
        with self._progress:
            self._progress.notify_all()
        if now - sent_at < PATIENCE_SECONDS:
            return True
        await line.close()
        return False

    async def _begin(self, line: Line) -> tuple[int, Primary]:
        """Makes the table if need be; the highest number in it, and who the server is."""
        task = asyncio.create_task(self._look_around(line))
        await asyncio.wait({task}, timeout=_BEGIN_SECONDS)
        if not task.done():
            line.hang_up()
        return await task

    async def _look_around(self, line: Line) -> tuple[int, Primary]:
        columns = f"number bigint primary key, written_at {self._client.timestamps}"
        await line.execute(f"create table if not exists {self.table} ({columns})")
        ((highest,),) = await line.execute(f"select coalesce(max(number), 0) from {self.table}")
        return int(highest), await line.primary()

    def _leave_behind(self, attempt: asyncio.Task[bool], line: Line) -> None:
        """Goes on without the answer, which still counts if it comes. The oldest of too many are given up."""
        self._stragglers = {task: c for task, c in self._stragglers.items() if not task.done()}
        self._stragglers[attempt] = line
        for _, oldest in list(self._stragglers.items())[:-_MOST_STRAGGLERS]:
            oldest.hang_up()

    async def _last_answers(self) -> None:
        waiting = {task for task in self._stragglers if not task.done()}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_LAST_ANSWERS_SECONDS)
            for task in late:
                self._stragglers[task].hang_up()
            await asyncio.gather(*late)
