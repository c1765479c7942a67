"""Connections that were opened, as the kernels saw them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005_observed"
down_revision = "0004_auth"
branch_labels = None
depends_on = None

_when = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "observed",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("port", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("units", JSONB(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("read_passed", sa.BigInteger(), nullable=False),
        sa.Column("read_refused", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", _when, nullable=False),
        sa.Column("passed_at", _when, nullable=True),
        sa.Column("refused_at", _when, nullable=True),
        sa.PrimaryKeyConstraint("source", "user", "address", "port", "protocol", name="pk_observed"),
        schema="stores",
    )


def downgrade() -> None:
    op.drop_table("observed", schema="stores")
