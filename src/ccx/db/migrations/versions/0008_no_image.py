"""Nodes start from what their cloud is set to when they are made: a datastore has no image of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_no_image"
down_revision = "0007_backups"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("datastore", "image", schema="stores")


def downgrade() -> None:
    op.add_column("datastore", sa.Column("image", sa.String(), nullable=False, server_default="baked"), schema="stores")
    op.alter_column("datastore", "image", server_default=None, schema="stores")
