"""What control plane and nodes connected to, kept for a month: the machines themselves come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import SessionFactory
from ccx.network.observer import KEPT_S, Seen
from ccx.stores.models import Observed

CONTROL_PLANE = "control-plane"
"""The source that is no node."""

MOST = 4096
"""Destinations of one source; what is new beyond that is not remembered."""

_READ_WITHIN = timedelta(seconds=15)
"""What a reading takes at most, and so how far off the moments in it may be."""

_MOST_NAMES = 16
"""Units, or names, of one destination."""


@asynccontextmanager
async def one_reader(sessions: SessionFactory) -> AsyncIterator[None]:
    """Meanwhile others wait: readings that overtake one another would be counted twice.

    A connection holds the lock, and no transaction: to read takes seconds.
    """
    async with sessions() as session:
        connection = await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        try:
            await connection.execute(text("select pg_advisory_lock(hashtext('ccx.observed'))"))
            yield
        finally:
            await connection.invalidate()  # kept by the pool, it would keep the lock


async def add(
    tx: AsyncSession,
    source: str,
    seen: Iterable[Seen],
    users: Mapping[str, str],
    at: datetime,
    named: Callable[[str], Iterable[str]] = lambda _: (),
) -> None:
    """Adds a reading that began ``at``. ``users`` are the names of user ids there, ``named`` those of an address."""
    rows = {
        (row.user, row.address, row.port, row.protocol): row
        for row in await tx.scalars(select(Observed).where(Observed.source == source))
    }
    for one in seen:
        user = users.get(str(one.uid), str(one.uid))
        key = (user, one.address, one.port, one.protocol)
        if key not in rows:
            if len(rows) >= MOST:
                continue
            rows[key] = Observed(
                source=source, user=user, address=one.address, port=one.port, protocol=one.protocol, units=[],
                names=[], passed=0, refused=0, read_passed=0, read_refused=0,
                first_seen=at - timedelta(seconds=one.idle),
            )  # fmt: skip
            tx.add(rows[key])
        _count(rows[key], one, at - timedelta(seconds=one.idle))
        rows[key].names = sorted({*rows[key].names, *named(one.address)})[:_MOST_NAMES]


def _count(row: Observed, seen: Seen, last: datetime) -> None:
    # Both grow, but for a refused count that a packet between the two lists made one too small.
    before, now = row.read_passed + row.read_refused, seen.passed + seen.refused
    known = max((moment for moment in (row.passed_at, row.refused_at) if moment is not None), default=last)
    # As many as there were, and yet another one since: they are others, of a machine that has booted again.
    others = now == before and last > known + _READ_WITHIN
    if others or now < before or seen.passed < row.read_passed:
        row.read_passed = row.read_refused = 0
    passed, refused = seen.passed - row.read_passed, max(0, seen.refused - row.read_refused)
    row.read_passed, row.read_refused = seen.passed, max(seen.refused, row.read_refused)
    row.passed += passed
    row.refused += refused
    row.passed_at = last if passed else row.passed_at
    row.refused_at = last if refused else row.refused_at
    row.units = sorted({*row.units, *seen.units})[:_MOST_NAMES]


async def since(tx: AsyncSession, moment: datetime) -> Sequence[Observed]:
    """What was tried after ``moment``, refused attempts and those that got through."""
    recent = select(Observed).where(or_(Observed.passed_at >= moment, Observed.refused_at >= moment))
    return (await tx.scalars(recent.order_by(Observed.source, Observed.address, Observed.port))).all()


async def prune(tx: AsyncSession, now: datetime) -> None:
    """Drops what was tried long ago."""
    last = func.greatest(Observed.passed_at, Observed.refused_at)
    await tx.execute(delete(Observed).where(last < now - timedelta(seconds=KEPT_S)))
