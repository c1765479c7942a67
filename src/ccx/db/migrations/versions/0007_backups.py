"""Backups, and what a datastore was restored from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007_backups"
down_revision = "0006_observed_names"
branch_labels = None
depends_on = None

_when = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "backup",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("datastore_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("started_at", _when, nullable=False),
        sa.Column("ended_at", _when, nullable=False),
        sa.Column("wal_first", sa.String(), nullable=True),
        sa.Column("wal_last", sa.String(), nullable=True),
        sa.Column("owner_type", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backup"),
        sa.ForeignKeyConstraint(["datastore_id"], ["stores.datastore.id"], name="fk_backup_datastore_id_datastore"),
        sa.UniqueConstraint("datastore_id", "label", name="uq_backup_datastore_id_label"),
        schema="stores",
    )
    op.add_column("datastore", sa.Column("origin", JSONB(), nullable=True), schema="stores")


def downgrade() -> None:
    op.drop_column("datastore", "origin", schema="stores")
    op.drop_table("backup", schema="stores")
