"""The sealed secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_secrets_pki"
down_revision = "0002_stores"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS secrets")
    op.create_table(
        "secret",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_secret"),
        sa.UniqueConstraint("scope", "name", name="uq_secret_scope_name"),
        schema="secrets",
    )


def downgrade() -> None:
    op.drop_table("secret", schema="secrets")
    op.execute("DROP SCHEMA secrets")
