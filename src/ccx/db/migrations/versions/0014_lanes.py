"""Two lanes for the jobs of a key: a long backup no longer holds up what changes its datastore."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_lanes"
down_revision = "0013_branches"
branch_labels = None
depends_on = None

_ACTIVE = "status in ('running', 'undoing')"


def upgrade() -> None:
    op.add_column(
        "job", sa.Column("lane", sa.String(40), nullable=False, server_default=sa.text("'main'")), schema="jobs"
    )
    op.drop_index("uq_job_key_active", "job", schema="jobs")
    for lane in ("main", "side"):
        where = sa.text(f"{_ACTIVE} and lane in ('{lane}', 'both')")
        op.create_index(f"uq_job_key_{lane}", "job", ["key"], unique=True, schema="jobs", postgresql_where=where)


def downgrade() -> None:
    op.drop_index("uq_job_key_side", "job", schema="jobs")
    op.drop_index("uq_job_key_main", "job", schema="jobs")
    op.create_index("uq_job_key_active", "job", ["key"], unique=True, schema="jobs", postgresql_where=sa.text(_ACTIVE))
    op.drop_column("job", "lane", schema="jobs")
