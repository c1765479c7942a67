"""Jobs that come again: cron expressions, each shifted by a jitter of its own so that they don't all fire at once."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import SessionFactory, utc_now
from ccx.errors import Invalid
from ccx.ids import new_id
from ccx.jobs.queue import NOTIFY
from ccx.jobs.records import Owner

EVERY_S = 5.0
BATCH = 500


def next_after(cron: str, timezone: str, jitter: timedelta, name: str, moment: datetime) -> datetime:
    """When the schedule ``name`` fires first after ``moment``.

    Raises:
        Invalid: no such cron expression or time zone, or one that never fires.
    """
    shift = timedelta(seconds=_fraction(name) * jitter.total_seconds())
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise Invalid(f"there is no time zone {timezone!r}", remedy="Use a name such as Europe/Stockholm") from exc
    try:
        at: datetime = next(CronSim(cron, (moment - shift).astimezone(zone)))
    except (CronSimError, StopIteration) as exc:
        raise Invalid(
            f"{cron!r} is no cron expression that ever fires", remedy="Use five fields, for example '30 2 * * *'"
        ) from exc
    return at + shift


def _fraction(name: str) -> float:
    """Between 0 and 1, always the same for a name: a schedule's period stays what its expression says."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


async def put(
    session: AsyncSession,
    name: str,
    cron: str,
    kind: str,
    *,
    key: str,
    args: dict[str, Any] | None = None,
    owner: Owner | None = None,
    label: str = "",
    timezone: str = "UTC",
    jitter: timedelta = timedelta(0),
) -> datetime:
    """Enqueue ``kind`` at each time of ``cron``, in the caller's transaction; replaces the schedule of that name.

    A firing is dropped while the one before is still queued. Those missed during an outage are made up for by one.

    Args:
        name: unique.
        cron: five fields, read in ``timezone``.
        jitter: the schedule fires later than ``cron`` by an amount of its own, up to this.

    Returns:
        When it fires first.

    Raises:
        Invalid: no such cron expression or time zone.
    """
    next_at = next_after(cron, timezone, jitter, name, utc_now())
    await session.execute(
        text(
            """
            insert into jobs.schedule
                (name, kind, key, label, args, owner_type, owner_id, cron, timezone, jitter_s, next_at)
            values (:name, :kind, :key, :label, cast(:args as jsonb), :owner_type, :owner_id, :cron, :timezone,
                    :jitter_s, :next_at)
            on conflict (name) do update
                set (kind, key, label, args, owner_type, owner_id, cron, timezone, jitter_s, next_at) =
                    (excluded.kind, excluded.key, excluded.label, excluded.args, excluded.owner_type,
                     excluded.owner_id, excluded.cron, excluded.timezone, excluded.jitter_s, excluded.next_at)
            """
        ),
        {
            "name": name, "kind": kind, "key": key, "label": label or kind, "args": json.dumps(args or {}),
            "owner_type": owner[0] if owner else None, "owner_id": owner[1] if owner else None,
            "cron": cron, "timezone": timezone, "jitter_s": int(jitter.total_seconds()), "next_at": next_at,
        },
    )  # fmt: skip
    return next_at


async def remove(session: AsyncSession, name: str) -> bool:
    """Forget a schedule; what it has enqueued stays. Returns whether there was one."""
    rows = await session.execute(text("delete from jobs.schedule where name = :name returning name"), {"name": name})
    return rows.first() is not None


async def tick(sessions: SessionFactory, now: datetime | None = None) -> int:
    """Enqueue what is due, in batches. Any number of processes may do this at once. Returns how many were due."""
    moment = now or utc_now()
    total = 0
    while True:
        async with sessions.begin() as tx:
            count = await _tick_batch(tx, moment)
        total += count
        if count < BATCH:
            return total


_ENQUEUE_DUE = text(
    """
    insert into jobs.job (id, kind, key, label, args, owner_type, owner_id, dedup, status, created_at, run_at)
    select due.id, s.kind, s.key, s.label, s.args, s.owner_type, s.owner_id, true, 'queued', clock_timestamp(), now()
    from jobs.schedule s join unnest(cast(:names as text[]), cast(:ids as uuid[])) as due(name, id) on due.name = s.name
    on conflict (kind, key) where status = 'queued' and dedup do nothing
    """
)
_MOVE_ON = text(
    """
    update jobs.schedule s set next_at = due.next_at
    from unnest(cast(:names as text[]), cast(:next_at as timestamptz[])) as due(name, next_at)
    where s.name = due.name
    """
)


async def _tick_batch(tx: AsyncSession, moment: datetime) -> int:
    rows = await tx.execute(
        text("select * from jobs.schedule where next_at <= :now order by next_at limit :batch for update skip locked"),
        {"now": moment, "batch": BATCH},
    )
    due = rows.mappings().all()
    if due:
        names = [row["name"] for row in due]
        await tx.execute(_ENQUEUE_DUE, {"names": names, "ids": [new_id() for _ in due]})
        await tx.execute(_MOVE_ON, {"names": names, "next_at": [_next(row, moment) for row in due]})
        await tx.execute(NOTIFY, {"key": ""})
    return len(due)


def _next(row: Any, moment: datetime) -> datetime:
    return next_after(row["cron"], row["timezone"], timedelta(seconds=row["jitter_s"]), row["name"], moment)
