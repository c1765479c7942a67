"""What a restore drill found of a backup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009_drills"
down_revision = "0008_no_image"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("backup", sa.Column("drill", JSONB(), nullable=True), schema="stores")


def downgrade() -> None:
    op.drop_column("backup", "drill", schema="stores")
