"""The names that observed addresses had."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006_observed_names"
down_revision = "0005_observed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("observed", sa.Column("names", JSONB(), nullable=False, server_default="[]"), schema="stores")
    op.alter_column("observed", "names", server_default=None, schema="stores")


def downgrade() -> None:
    op.drop_column("observed", "names", schema="stores")
