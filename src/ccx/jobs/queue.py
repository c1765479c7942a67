"""What others do with jobs: enqueue, cancel, wake, release. All of it joins the caller's transaction."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.ids import new_id
from ccx.jobs import registry
from ccx.jobs.failures import CANCELLED
from ccx.jobs.records import JobRecord, Owner

CHANNEL = "ccx_jobs"
"""Where runners listen. The payload is the key of the job that there is news of."""

_ENQUEUE = text(
    """
    insert into jobs.job (id, kind, key, label, args, owner_type, owner_id, dedup, status, created_at, run_at)
    values (:id, :kind, :key, :label, cast(:args as jsonb), :owner_type, :owner_id, :dedup, 'queued',
            clock_timestamp(), coalesce(:run_at, clock_timestamp()))
    on conflict (kind, key) where status = 'queued' and dedup do update set run_at = least(job.run_at, excluded.run_at)
    returning id
    """
)
NOTIFY = text(f"select pg_notify('{CHANNEL}', :key)")


async def enqueue(
    session: AsyncSession,
    kind: str,
    *,
    key: str,
    args: dict[str, Any] | None = None,
    owner: Owner | None = None,
    label: str = "",
    dedup: bool = False,
    run_at: datetime | None = None,
) -> UUID:
    """Queue a job in the caller's transaction: it exists if, and only if, that commits.

    Args:
        kind: the operation's name.
        key: jobs of one key and lane run one at a time, in the order of their queueing.
        args: the operation's keyword arguments: JSON, and never a secret.
        owner: whose job it is.
        label: the kind in the API's words; the kind itself if empty.
        dedup: if a job of this kind and key is queued already (not yet begun), that one is meant: its arguments stay.
        run_at: not before then; at once if not given.

    Returns:
        The job's id; with ``dedup`` perhaps that of an earlier one.
    """
    row = await session.execute(
        _ENQUEUE,
        {
            "id": new_id(), "kind": kind, "key": key, "label": label or kind, "args": json.dumps(args or {}),
            "owner_type": owner[0] if owner else None, "owner_id": owner[1] if owner else None,
            "dedup": dedup, "run_at": run_at,
        },
    )  # fmt: skip
    await session.execute(NOTIFY, {"key": key})
    return row.scalar_one()  # type: ignore[no-any-return]


async def cancel(session: AsyncSession, job_id: UUID) -> bool:
    """Cancel a job. A queued one is cancelled at once; one that has begun undoes what it did, and then is cancelled.

    Returns:
        Whether there was anything to cancel. A job that is past its pivot is not stopped by it.
    """
    rows = await session.execute(text("select * from jobs.job where id = :id for update"), {"id": job_id})
    return await _cancel(session, [JobRecord.of(row) for row in rows.mappings()]) > 0


async def hold(session: AsyncSession, key: str) -> None:
    """Keep the jobs of a key where they are until the transaction ends. For who locks what they work on: jobs do so
    while they hold their own row, so that row comes first.
    """
    await session.execute(
        text(
            "select 1 from jobs.job where key = :key and status in ('queued', 'running', 'undoing')"
            " order by id for update"
        ),
        {"key": key},
    )


async def cancel_key(session: AsyncSession, key: str, *, abandon: bool = False) -> int:
    """Cancel every job of a key, queued or begun. Returns how many.

    Args:
        abandon: a job that is past its pivot, or that can't get on with its undo, ends too, as it stands. For a caller
            who takes away all that such a job works on: what it tries for ever may not succeed any more.
    """
    rows = await session.execute(
        text(
            "select * from jobs.job where key = :key and status in ('queued', 'running', 'undoing')"
            " order by id for update"
        ),
        {"key": key},
    )
    return await _cancel(session, [JobRecord.of(row) for row in rows.mappings()], abandon=abandon)


async def _cancel(session: AsyncSession, jobs: list[JobRecord], *, abandon: bool = False) -> int:
    count = 0
    for job in jobs:
        if job.status.is_final:
            continue
        count += 1
        operation = registry.find(job.kind)
        # A queued job of a kind that this process doesn't know keeps the flag: a runner that knows its handler ends it.
        # One that is abandoned is fenced by ending it: its runner's next write finds that the claim holds no more.
        stuck = job.pivoted if job.status == "running" else job.retries > 0
        ends = job.status == "queued" or (abandon and stuck)
        at_once = ends and operation is not None
        row = await session.execute(
            text(
                """
                update jobs.job set cancel = true,
                    run_at = case when lease_until is null then least(run_at, now()) else run_at end,
                    status = case when :at_once then 'cancelled' else status end,
                    finished_at = case when :at_once then now() else finished_at end,
                    lease_until = case when :at_once then null else lease_until end,
                    runner = case when :at_once then null else runner end,
                    error = case when :at_once then cast(:error as jsonb) else error end
                where id = :id returning *
                """
            ),
            {"id": job.id, "at_once": at_once, "error": json.dumps(CANCELLED)},
        )
        if at_once and operation and operation.on_failed:
            await operation.on_failed(session, JobRecord.of(row.mappings().one()), CANCELLED)
        await session.execute(NOTIFY, {"key": job.key})
    return count


async def wake(session: AsyncSession, key: str) -> None:
    """Let the napping job of a key look again now, because what it waits for may have come. No wake is ever lost."""
    await session.execute(
        text(
            "update jobs.job set wakes = wakes + 1, run_at = case when lease_until is null then now() else run_at end"
            " where key = :key and status in ('running', 'undoing')"
        ),
        {"key": key},
    )
    await session.execute(NOTIFY, {"key": key})


async def release(session: AsyncSession, runner_name: str) -> int:
    """Free the leases of a runner that is certainly dead, so that its jobs go on at once. For its supervisor.

    Returns:
        How many jobs it held.
    """
    rows = await session.execute(
        text(
            # In the order of ids, as everybody locks several jobs: or two of them wait for each other.
            "with held as (select id from jobs.job where runner = :runner and status in ('running', 'undoing')"
            " order by id for update)"
            " update jobs.job j set lease_until = null, runner = null from held where j.id = held.id returning j.key"
        ),
        {"runner": runner_name},
    )
    keys = rows.scalars().all()
    for key in keys:
        await session.execute(NOTIFY, {"key": key})
    return len(keys)


async def outrun(session: AsyncSession) -> None:
    """From now on claims' tokens are higher than any that an hour of work could have given out since this database's
    state: it came from a copy, and what it has lost may have acted on clouds.
    """
    await session.execute(text("select setval('jobs.token', nextval('jobs.token') + 1000000)"))


async def next_token(session: AsyncSession) -> int:
    """A token higher than every claim's so far: for who acts on a key outside a job, while none of it runs."""
    return (await session.execute(text("select nextval('jobs.token')"))).scalar_one()  # type: ignore[no-any-return]
