"""Until when parts of a datastore's log were given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017_log_gaps"
down_revision = "0016_backup_tool"
branch_labels = None
depends_on = None


def upgrade() -> None:
    empty = sa.text("'{}'::jsonb")
    op.add_column("datastore", sa.Column("log_gaps", JSONB(), nullable=False, server_default=empty), schema="stores")


def downgrade() -> None:
    op.drop_column("datastore", "log_gaps", schema="stores")
