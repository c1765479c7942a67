"""What is remembered of datastores, and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002_stores"
down_revision = "0001_jobs"


def upgrade() -> None:
    op.execute("create schema stores")
    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("datastore_id", sa.Uuid(), nullable=True),
        sa.Column("detail", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        schema="stores",
    )
    op.create_index("ix_audit_datastore_id", "audit", ["datastore_id"], unique=False, schema="stores")
    op.create_table(
        "datastore",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("short_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tags", JSONB(), nullable=False),
        sa.Column("vendor", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("cluster_type", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("cloud", sa.String(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("zones", JSONB(), nullable=False),
        sa.Column("instance_size", sa.String(), nullable=False),
        sa.Column("volume_type", sa.String(), nullable=False),
        sa.Column("volume_size", sa.Integer(), nullable=False),
        sa.Column("volume_iops", sa.Integer(), nullable=False),
        sa.Column("network_type", sa.String(), nullable=False),
        sa.Column("ha_enabled", sa.Boolean(), nullable=False),
        sa.Column("image", sa.String(), nullable=False),
        sa.Column("notifications", JSONB(), nullable=False),
        sa.Column("maintenance", JSONB(), nullable=True),
        sa.Column("admin_user", sa.String(), nullable=False),
        sa.Column("admin_database", sa.String(), nullable=False),
        sa.Column("desired", sa.String(40), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("status_text", sa.String(), nullable=False),
        sa.Column("observed", JSONB(), nullable=True),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner_type", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datastore"),
        sa.UniqueConstraint("short_id", name="uq_datastore_short_id"),
        schema="stores",
    )
    op.create_index(
        "uq_datastore_owner_name",
        "datastore",
        ["owner_type", "owner_id", "name"],
        unique=True,
        schema="stores",
        postgresql_where=sa.text("status not in ('DEPLOY_FAILED', 'DELETED')"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("payload", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        schema="stores",
    )
    op.create_index("ix_outbox_published_at", "outbox", ["published_at"], unique=False, schema="stores")
    op.create_table(
        "firewall_rule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("datastore_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner_type", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["datastore_id"], ["stores.datastore.id"], name="fk_firewall_rule_datastore_id_datastore"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_firewall_rule"),
        sa.UniqueConstraint("datastore_id", "source", name="uq_firewall_rule_datastore_id_source"),
        schema="stores",
    )
    op.create_table(
        "node",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("datastore_id", sa.Uuid(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("server", sa.String(), nullable=False),
        sa.Column("volume", sa.String(), nullable=False),
        sa.Column("hostname", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("public_address", sa.String(), nullable=True),
        sa.Column("host_key", sa.String(), nullable=True),
        sa.Column("phoned_home_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bootstrap_error", sa.String(), nullable=True),
        sa.Column("lost_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owner_type", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["datastore_id"], ["stores.datastore.id"], name="fk_node_datastore_id_datastore"),
        sa.PrimaryKeyConstraint("id", name="pk_node"),
        sa.UniqueConstraint("datastore_id", "index", "generation", name="uq_node_datastore_id_index_generation"),
        schema="stores",
    )
    op.create_table(
        "enrolment",
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["stores.node.id"], name="fk_enrolment_node_id_node"),
        sa.PrimaryKeyConstraint("node_id", name="pk_enrolment"),
        sa.UniqueConstraint("token_sha256", name="uq_enrolment_token_sha256"),
        schema="stores",
    )


def downgrade() -> None:
    op.execute("drop schema stores cascade")
