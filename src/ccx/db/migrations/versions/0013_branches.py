"""The branches that restores in place give a datastore's history; where in the log and before what a backup ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013_branches"
down_revision = "0010_proof"
branch_labels = None
depends_on = None

_JSON = ("datastore.branches", "datastore.served")
_NUMBERS = ("datastore.branch", "node.branch", "backup.branch")


def upgrade() -> None:
    for table, name in (column.split(".") for column in _NUMBERS):
        op.add_column(
            table, sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0")), schema="stores"
        )
    for table, name in (column.split(".") for column in _JSON):
        op.add_column(
            table, sa.Column(name, JSONB(), nullable=False, server_default=sa.text("'[]'::jsonb")), schema="stores"
        )
    op.add_column("datastore", sa.Column("restoring", JSONB(), nullable=True), schema="stores")
    op.add_column("backup", sa.Column("lsn", sa.String(), nullable=True), schema="stores")
    op.add_column("backup", sa.Column("xid", sa.BigInteger(), nullable=True), schema="stores")


def downgrade() -> None:
    for name in ("xid", "lsn"):
        op.drop_column("backup", name, schema="stores")
    for table, name in (column.split(".") for column in (*_NUMBERS, *_JSON, "datastore.restoring")):
        op.drop_column(table, name, schema="stores")
