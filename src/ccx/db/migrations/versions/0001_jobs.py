"""The job engine: jobs, their steps, schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001_jobs"
down_revision = None


def upgrade() -> None:
    op.execute("create schema jobs")
    op.execute("create sequence jobs.token")
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("args", JSONB(), nullable=False),
        sa.Column("owner_type", sa.String(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("dedup", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=True),
        sa.Column("runner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("wakes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancel", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("pivoted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("flagged", sa.String(), nullable=True),
        sa.Column("error", JSONB(), nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        schema="jobs",
    )
    op.create_index(
        "ix_job_due",
        "job",
        ["run_at"],
        unique=False,
        schema="jobs",
        postgresql_where=sa.text("status in ('queued', 'running', 'undoing')"),
    )
    op.create_index("ix_job_key_history", "job", ["key", "created_at"], unique=False, schema="jobs")
    op.create_index(
        "ix_job_queued",
        "job",
        ["key", "run_at", "id"],
        unique=False,
        schema="jobs",
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_job_runner", "job", ["runner"], unique=False, schema="jobs", postgresql_where=sa.text("runner is not null")
    )
    op.create_index(
        "uq_job_key_active",
        "job",
        ["key"],
        unique=True,
        schema="jobs",
        postgresql_where=sa.text("status in ('running', 'undoing')"),
    )
    op.create_index(
        "uq_job_kind_key_dedup",
        "job",
        ["kind", "key"],
        unique=True,
        schema="jobs",
        postgresql_where=sa.text("status = 'queued' and dedup"),
    )
    op.create_table(
        "schedule",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("args", JSONB(), nullable=False),
        sa.Column("owner_type", sa.String(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("jitter_s", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_schedule"),
        schema="jobs",
    )
    op.create_index("ix_schedule_next_at", "schedule", ["next_at"], unique=False, schema="jobs")
    op.create_table(
        "step",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("undoable", sa.Boolean(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", JSONB(), nullable=True),
        sa.Column("result", JSONB(), nullable=True),
        sa.Column("error", JSONB(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job.id"], name="fk_step_job_id_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "name", name="pk_step"),
        schema="jobs",
    )


def downgrade() -> None:
    op.execute("drop schema jobs cascade")
