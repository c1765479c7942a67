"""The read side, for the API and the CLI."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.jobs.models import Lane
from ccx.jobs.records import JobRecord, StepRecord


async def get(session: AsyncSession, job_id: UUID) -> JobRecord | None:
    """A job by its id."""
    rows = await session.execute(text("select * from jobs.job where id = :id"), {"id": job_id})
    row = rows.mappings().one_or_none()
    return JobRecord.of(row) if row else None


async def active(session: AsyncSession, key: str, lane: Literal[Lane.MAIN, Lane.SIDE] = Lane.MAIN) -> JobRecord | None:
    """The job in that lane of the key that has begun and not ended, if there is one."""
    rows = await session.execute(
        text(
            "select * from jobs.job where key = :key and status in ('running', 'undoing') and lane in (:lane, 'both')"
        ),
        {"key": key, "lane": lane.value},
    )
    row = rows.mappings().one_or_none()
    return JobRecord.of(row) if row else None


async def history(
    session: AsyncSession, key: str, limit: int = 50, offset: int = 0, *, without: Sequence[str] = ()
) -> tuple[list[JobRecord], int]:
    """The jobs of a key, newest first, and how many there are in all; those with a label in ``without`` left out."""
    chosen = "from jobs.job where key = :key and label <> all(cast(:without as text[]))"
    parameters: dict[str, Any] = {"key": key, "limit": limit, "offset": offset, "without": list(without)}
    rows = await session.execute(
        text(f"select * {chosen} order by created_at desc, id desc limit :limit offset :offset"),
        parameters,
    )
    total = await session.scalar(text(f"select count(*) {chosen}"), parameters)
    return [JobRecord.of(row) for row in rows.mappings()], int(total or 0)


async def last_token(session: AsyncSession, key: str) -> int:
    """The token of the newest claim in the main lane of a key; 0 if there was none."""
    found = await session.scalar(
        text("select max(token) from jobs.job where key = :key and lane <> 'side'"), {"key": key}
    )
    return int(found or 0)


async def flagged(session: AsyncSession, limit: int = 100) -> list[JobRecord]:
    """Jobs that an operator should look at, the longest flagged last seen first."""
    rows = await session.execute(
        text(
            "select * from jobs.job where status in ('queued', 'running', 'undoing') and flagged is not null"
            " order by created_at limit :limit"
        ),
        {"limit": limit},
    )
    return [JobRecord.of(row) for row in rows.mappings()]


async def steps(session: AsyncSession, job_id: UUID) -> list[StepRecord]:
    """A job's steps in the order of their beginning, those of its undo included (``undo: <name>``)."""
    rows = await session.execute(
        text("select * from jobs.step where job_id = :id order by number, name"), {"id": job_id}
    )
    return [StepRecord.of(row) for row in rows.mappings()]


async def prune(session: AsyncSession, before: datetime, limit: int = 1000) -> int:
    """Drops jobs that ended before a moment, with their steps, but for the newest of each key and lane.

    Returns how many, which is at most ``limit``.
    """
    rows = await session.execute(
        text(
            "delete from jobs.job where id in (select id from jobs.job old"
            " where status in ('done', 'failed', 'cancelled') and finished_at < :before and exists (select 1 from"
            " jobs.job newer where newer.key = old.key and newer.lane = old.lane"
            " and (newer.created_at, newer.id) > (old.created_at, old.id))"
            " order by finished_at limit :limit for update skip locked) returning id"
        ),
        {"before": before, "limit": limit},
    )
    return len(rows.all())
