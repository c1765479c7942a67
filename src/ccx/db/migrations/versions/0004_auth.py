"""Users, credentials and tokens; and the API's memory of repeated requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_auth"
down_revision = "0003_secrets_pki"
branch_labels = None
depends_on = None

_when = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("CREATE SCHEMA IF NOT EXISTS auth")
    op.execute("CREATE SCHEMA IF NOT EXISTS rest")
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("first_name", sa.String(), nullable=False),
        sa.Column("last_name", sa.String(), nullable=False),
        sa.Column("allow_newsletters", sa.Boolean(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("terms_accepted_at", _when, nullable=True),
        sa.Column("created_at", _when, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user"),
        sa.UniqueConstraint("login", name="uq_user_login"),
        schema="auth",
    )
    op.create_table(
        "client",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", _when, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_client"),
        sa.ForeignKeyConstraint(["user_id"], ["auth.user.id"], name="fk_client_user_id_user", ondelete="CASCADE"),
        sa.UniqueConstraint("client_id", name="uq_client_client_id"),
        schema="auth",
    )
    op.create_index("ix_client_user_id", "client", ["user_id"], schema="auth")
    op.create_table(
        "token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=True),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("created_at", _when, nullable=False),
        sa.Column("expires_at", _when, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_token"),
        sa.ForeignKeyConstraint(["user_id"], ["auth.user.id"], name="fk_token_user_id_user", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["auth.client.id"], name="fk_token_client_id_client", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_sha256", name="uq_token_token_sha256"),
        schema="auth",
    )
    for column in ("user_id", "client_id", "expires_at"):
        op.create_index(f"ix_token_{column}", "token", [column], schema="auth")
    op.create_table(
        "login_failure",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", _when, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_login_failure"),
        schema="auth",
    )
    op.create_index("ix_login_failure_since", "login_failure", ["since"], schema="auth")
    op.create_table(
        "idempotency",
        sa.Column("owner_type", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_sha256", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", _when, nullable=False),
        sa.PrimaryKeyConstraint("owner_type", "owner_id", "key", name="pk_idempotency"),
        schema="rest",
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], schema="rest")


def downgrade() -> None:
    op.drop_table("idempotency", schema="rest")
    for table in ("login_failure", "token", "client", "user"):
        op.drop_table(table, schema="auth")
    op.execute("DROP SCHEMA rest")
    op.execute("DROP SCHEMA auth")
