"""The tables of the ``jobs`` schema. Only this package writes them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Sequence, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ccx.db import Base, utc_now
from ccx.ids import new_id

SCHEMA = "jobs"

TOKENS = Sequence("token", schema=SCHEMA, metadata=Base.metadata)
"""One sequence for the claims of all jobs, so that a later claim has a higher token, whichever job it is of."""


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    """Claimed, or napping between two steps. Its key is taken."""
    UNDOING = "undoing"
    """It failed or was cancelled, and takes back what it began. Its key is still taken."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)


class Lane(StrEnum):
    """Which of a key's two lanes a job takes. Jobs that share a lane never overlap; others run beside each other."""

    MAIN = "main"
    """What changes the subject."""
    SIDE = "side"
    """What takes long, and leaves the subject as it is."""
    BOTH = "both"
    """What nothing else may run beside."""


class StepState(StrEnum):
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"


class JobRow(Base):
    """A job: what is to be done, who does it now, and how it went."""

    __tablename__ = "job"
    __table_args__ = (
        # At most one job in each lane of a key, through crash and undo. A claim that violates it lost the race.
        Index(
            "uq_job_key_main",
            "key",
            unique=True,
            postgresql_where=text("status in ('running', 'undoing') and lane in ('main', 'both')"),
        ),
        Index(
            "uq_job_key_side",
            "key",
            unique=True,
            postgresql_where=text("status in ('running', 'undoing') and lane in ('side', 'both')"),
        ),
        Index(
            "uq_job_kind_key_dedup", "kind", "key", unique=True, postgresql_where=text("status = 'queued' and dedup")
        ),
        Index("ix_job_queued", "key", "run_at", "id", postgresql_where=text("status = 'queued'")),
        Index("ix_job_due", "run_at", postgresql_where=text("status in ('queued', 'running', 'undoing')")),
        Index("ix_job_runner", "runner", postgresql_where=text("runner is not null")),
        Index("ix_job_key_history", "key", "created_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str]
    key: Mapped[str]
    label: Mapped[str]
    args: Mapped[dict[str, Any]]
    owner_type: Mapped[str | None]
    owner_id: Mapped[UUID | None]
    lane: Mapped[Lane] = mapped_column(default=Lane.MAIN, server_default=text("'main'"))
    """Its operation's; known from the first claim on."""
    dedup: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    status: Mapped[JobStatus] = mapped_column(default=JobStatus.QUEUED)

    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    run_at: Mapped[datetime]
    """Nobody looks at the job before this moment."""
    deadline: Mapped[datetime | None]

    token: Mapped[int | None] = mapped_column(BigInteger)
    runner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    """Null: nobody holds the job."""
    attempt: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How often a runner took the job up: 1, and one more for each runner that died over it."""
    retries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Failures in a row of what must not fail: what follows the pivot, undo, and handlers."""
    wakes: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Grows with each call of ``wake``, so that one that comes while the job falls asleep isn't lost."""
    cancel: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    pivoted: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    flagged: Mapped[str | None]
    """Why an operator should look: something is retried for ever and keeps failing."""
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))


class StepRow(Base):
    """A named step of a job, with its result. The name never gets another meaning."""

    __tablename__ = "step"
    __table_args__ = {"schema": SCHEMA}

    job_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.job.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    """In the order of their beginning."""
    state: Mapped[StepState]
    undoable: Mapped[bool]
    token: Mapped[int] = mapped_column(BigInteger)
    """Of the claim under which it last began."""
    attempts: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class ScheduleRow(Base):
    """A job that is enqueued again and again."""

    __tablename__ = "schedule"
    __table_args__ = (Index("ix_schedule_next_at", "next_at"), {"schema": SCHEMA})

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str]
    label: Mapped[str]
    args: Mapped[dict[str, Any]]
    owner_type: Mapped[str | None]
    owner_id: Mapped[UUID | None]
    cron: Mapped[str]
    timezone: Mapped[str]
    jitter_s: Mapped[int]
    """Each schedule fires up to this many seconds late, by an amount of its own that doesn't change."""
    next_at: Mapped[datetime]
