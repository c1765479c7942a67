"""What made a backup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016_backup_tool"
down_revision = "0015_backup_node"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("backup", sa.Column("tool", sa.String(), nullable=True), schema="stores")


def downgrade() -> None:
    op.drop_column("backup", "tool", schema="stores")
