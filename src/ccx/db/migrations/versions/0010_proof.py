"""What was found of backups, the rows counted when they were made, how long they are kept, how far the log is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010_proof"
down_revision = "0009_drills"
branch_labels = None
depends_on = None

_when = sa.DateTime(timezone=True)
_ADDED = {
    "backup": {"unusable": sa.String(), "verified_at": _when, "log_until": _when, "locked_until": _when,
               "counts": JSONB()},
    "datastore": {"backup_policy": JSONB(), "backup_failed": JSONB(), "archived_at": _when, "backups_until": _when},
}  # fmt: skip


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True), schema="stores")  # type: ignore[arg-type]


def downgrade() -> None:
    for table, columns in _ADDED.items():
        for name in columns:
            op.drop_column(table, name, schema="stores")
