"""Which node made a backup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_backup_node"
down_revision = "0014_lanes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("backup", sa.Column("node", sa.String(), nullable=True), schema="stores")


def downgrade() -> None:
    op.drop_column("backup", "node", schema="stores")
