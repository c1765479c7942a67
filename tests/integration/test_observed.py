"""Readings of the kernels' counters are added up, whatever becomes of the machines."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.conftest import Database

from ccx.db import utc_now
from ccx.network.observer import KEPT_S, Seen
from ccx.stores import observed
from ccx.stores.models import Observed

NOW = utc_now()
USERS = {"103": "etcd"}


def seen(passed: int, refused: int, *, idle: int = 0, units: tuple[str, ...] = ("ccx-etcd.service",)) -> Seen:
    return Seen("10.0.0.2", 2380, "tcp", 103, units, passed, refused, idle)


async def told(database: Database, source: str, *readings: tuple[Seen, int]) -> Observed:
    """What is kept after these readings, each so many seconds after the first."""
    for reading, after in readings:
        async with database.sessions.begin() as tx:
            await observed.add(tx, source, [reading], USERS, NOW + timedelta(seconds=after))
    async with database.sessions() as tx:
        [row] = [row for row in await observed.since(tx, NOW - timedelta(days=40)) if row.source == source]
    return row


async def test_the_same_reading_twice_counts_once(database: Database) -> None:
    row = await told(database, "twice", (seen(3, 1), 0), (seen(3, 1, idle=60), 60))
    assert (row.user, row.passed, row.refused) == ("etcd", 3, 1)
    assert row.passed_at == row.refused_at == row.first_seen == NOW


async def test_counters_that_begin_again_go_on_from_where_they_were(database: Database) -> None:
    row = await told(database, "again", (seen(5, 2), 0), (seen(1, 0), 60), (seen(4, 1), 120))
    assert (row.passed, row.refused) == (9, 3)


async def test_a_packet_between_the_two_lists_makes_no_refused_attempt_of_those_before(database: Database) -> None:
    row = await told(database, "between", (seen(5, 5), 0), (seen(8, 4), 60), (seen(8, 5, idle=60), 120))
    assert (row.passed, row.refused) == (8, 5)


async def test_counters_that_began_again_and_are_where_they_were_count_as_new(database: Database) -> None:
    row = await told(database, "rebooted", (seen(2, 1), 0), (seen(2, 1, idle=5), 60))
    assert (row.passed, row.refused) == (4, 2)
    assert row.passed_at == row.refused_at == NOW + timedelta(seconds=55)


async def test_a_slow_reading_counts_nothing_anew(database: Database) -> None:
    row = await told(database, "slow", (seen(2, 1, idle=10), 0), (seen(2, 1, idle=62), 60))
    assert (row.passed, row.refused) == (2, 1)


async def test_when_it_was_last_refused_is_told_apart_from_when_it_got_through(database: Database) -> None:
    row = await told(database, "apart", (seen(0, 1, idle=10), 0), (seen(1, 1), 60))
    assert row.refused_at == NOW - timedelta(seconds=10)
    assert row.passed_at == NOW + timedelta(seconds=60)


async def test_a_unit_that_is_gone_keeps_its_name(database: Database) -> None:
    row = await told(database, "gone", (seen(0, 1, units=("x.service",)), 0), (seen(0, 1, idle=60, units=()), 60))
    assert row.units == ["x.service"]
    assert row.refused == 1


async def test_a_source_that_tries_everything_fills_nothing_up(database: Database) -> None:
    scan = [Seen("10.0.0.2", port, "tcp", 0, (), 0, 1, 0) for port in range(1, observed.MOST + 500)]
    async with database.sessions.begin() as tx:
        await observed.add(tx, "scanner", scan, {}, NOW)
    async with database.sessions() as tx:
        kept = [row for row in await observed.since(tx, NOW) if row.source == "scanner"]
    assert len(kept) == observed.MOST
    assert {row.user for row in kept} == {"0"}


async def test_what_was_tried_long_ago_is_forgotten(database: Database) -> None:
    await told(database, "old", (seen(1, 0), 0))
    async with database.sessions.begin() as tx:
        await observed.prune(tx, NOW + timedelta(seconds=KEPT_S - 60))
        assert [r for r in await observed.since(tx, NOW - timedelta(days=1)) if r.source == "old"]
        await observed.prune(tx, NOW + timedelta(seconds=KEPT_S + 60))
        assert not [r for r in await observed.since(tx, NOW - timedelta(days=1)) if r.source == "old"]
