"""What is lost with a single node and its volume: at the worst moment of the log's way to the store, and by a kill."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import psycopg
import report
from backup_bench import WITHIN, Bench
from tests.e2e.tenant import execute, select

_PARTS = 1
"""Of the log that are watched, from end to end."""
_BEFORE_S = 0.5
"""So long before a part of the log ends by itself the machine is killed."""
_SEEN = "select pg_walfile_name(pg_current_wal_lsn()), left(last_archived_wal, 24) from pg_stat_archiver"
_WRITE = "insert into beat (at) values (clock_timestamp())"
_EVERY = "select extract(epoch from current_setting('archive_timeout')::interval)::float"


async def loss(bench: Bench, trials: int) -> None:
    """Ends the datastore. How much it is, follows from when the machine dies, so once is enough."""
    del trials
    await execute(bench.primary, "create table if not exists beat (at timestamptz)")
    dying, last = asyncio.Event(), datetime.now(UTC)
    killed = asyncio.create_task(_kill(bench, dying))
    try:
        async with await psycopg.AsyncConnection.connect(autocommit=True, **bench.primary) as connection:
            while True:
                await asyncio.wait_for(connection.execute(_WRITE), 5)
                last = datetime.now(UTC)
                await asyncio.sleep(0.1)
                if killed.done():
                    killed.result()
    except (psycopg.Error, TimeoutError):
        if not dying.is_set():
            killed.cancel()
            raise
    await killed
    report.say("the machine is dead; its volume goes")
    await bench.store.delete()
    store = await bench.store.restore("after-the-loss")
    await store.until_started(WITHIN)
    newest = await select((await store.parameters(bench.folder))[0], "select max(at) from beat")
    bench.found.lost_s["killed just before a part of the log ends"] = (last - newest).total_seconds()
    await store.delete()


async def _kill(bench: Bench, dying: asyncio.Event) -> None:
    """Just before the log's next part ends: all that was written since the last one did is on the volume alone."""
    name = (await bench.store.primary())["hostname"]
    async with await psycopg.AsyncConnection.connect(autocommit=True, **bench.primary) as connection:
        every = float((await _row(connection, _EVERY))[0])
        ended = await _watch(bench, connection)
        await asyncio.sleep(max(0.0, ended + every - _BEFORE_S - time.monotonic()))
    dying.set()
    await bench.local.cloud.kill(name)


async def _watch(bench: Bench, connection: psycopg.AsyncConnection) -> float:
    """Watches parts of the log end and come into the store; returns when the last one ended.

    Until a part is in the store, all that was written since the end of the one before could be lost: the longest such
    time is what a loss at the worst moment costs.
    """
    ended: dict[str, float] = {}
    current, archived = await _row(connection, _SEEN)
    await bench.node.do("psql -h /run/postgresql -Atqc 'select pg_switch_wal()' postgres")  # the first end, at once
    while True:
        await asyncio.sleep(0.05)
        now_current, now_archived = await _row(connection, _SEEN)
        now = time.monotonic()
        if now_current != current:
            ended[current], current = now, now_current
        if now_archived == archived:
            continue
        before, archived = archived, now_archived
        if before in ended and archived in ended:
            _longest(bench, "at the worst moment", now - ended[before])
            _longest(bench, "of which the last part's way into the store", now - ended[archived])
        if len(ended) > _PARTS and archived in ended and current > archived:
            return ended[archived]


def _longest(bench: Bench, what: str, seconds: float) -> None:
    report.say(f"{what}: {seconds:.1f} s")
    bench.found.lost_s[what] = max(seconds, bench.found.lost_s.get(what, 0.0))


async def _row(connection: psycopg.AsyncConnection, statement: str) -> tuple[str, ...]:
    found = await (await connection.execute(statement.encode())).fetchone()
    assert found is not None
    return found
