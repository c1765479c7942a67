"""The tables of the ``stores`` schema. Desired state is what the user asked for; observed state what was last seen."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ccx.db import Base, utc_now
from ccx.ids import new_id

SCHEMA = "stores"


class Status(StrEnum):
    """A datastore's ``cluster_status``, in the words that clients know."""

    CREATING = "CREATING_CLUSTER"
    STARTED = "STARTED"
    DEGRADED = "DEGRADED"
    FAILURE = "FAILURE"
    UNKNOWN = "UNKNOWN"
    DEPLOY_FAILED = "DEPLOY_FAILED"
    DELETING = "DELETING"
    DELETE_FAILED = "DELETE_FAILED"
    DELETED = "DELETED"


GONE = (Status.DEPLOY_FAILED, Status.DELETED)
"""Statuses in which a datastore holds neither its name nor any quota."""


class Desired(StrEnum):
    PRESENT = "present"
    ABSENT = "absent"


class Owned:
    """Tenancy: every row belongs to somebody. Checked against the session and ``CCX-Owner``."""

    owner_type: Mapped[str]
    """``user`` or ``org``."""
    owner_id: Mapped[UUID]


class Datastore(Owned, Base):
    """A database cluster that somebody asked for."""

    __tablename__ = "datastore"
    __table_args__ = (
        Index(
            "uq_datastore_owner_name", "owner_type", "owner_id", "name", unique=True,
            postgresql_where=text("status not in ('DEPLOY_FAILED', 'DELETED')"),
        ),
        {"schema": SCHEMA},
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    short_id: Mapped[str] = mapped_column(unique=True)
    """Immutable; DNS and cloud names come from it."""
    name: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(default=list)
    vendor: Mapped[str]
    version: Mapped[str]
    cluster_type: Mapped[str]
    """As it was asked for: existing clients compare it."""
    size: Mapped[int]
    cloud: Mapped[str]
    region: Mapped[str]
    zones: Mapped[list[str]] = mapped_column(default=list)
    instance_size: Mapped[str]
    """Code of the instance type."""
    volume_type: Mapped[str]
    volume_size: Mapped[int]
    """GiB."""
    volume_iops: Mapped[int] = mapped_column(default=0)
    network_type: Mapped[str] = mapped_column(default="public")
    ha_enabled: Mapped[bool] = mapped_column(default=False)
    notifications: Mapped[dict[str, Any]] = mapped_column(default=lambda: {"enabled": False, "emails": []})
    maintenance: Mapped[dict[str, Any] | None]
    admin_user: Mapped[str] = mapped_column(default="ccxadmin")
    admin_database: Mapped[str] = mapped_column(default="defaultdb")
    origin: Mapped[dict[str, Any] | None]
    """What it was made from, if not from nothing: ``{"datastore", "backup", "to"}``."""
    backup_policy: Mapped[dict[str, Any] | None]
    """Where its backups differ from the settings: those of :class:`ccx.runner.policies.Policy` that it has itself."""
    backup_failed: Mapped[dict[str, Any] | None]
    """The last backup's failure, until one succeeds: ``{"at", "err", "again"}``."""
    archived_at: Mapped[datetime | None]
    """When the newest part of its log came into the object store, as far as was asked."""
    log_gaps: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'::jsonb"))
    """By branch, what its log lacks: ``{"since", "last"}``, when parts were given up. It stays when it is made up for:
    whether it is, the full backups tell."""
    backups_until: Mapped[datetime | None]
    """Of a deleted one: when its backups go. None: never."""
    branch: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """The branch of its history that serves. A restore in place begins a new one, with nodes and a log of its own."""
    branches: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """Those that restores in place began: ``{"number", "of", "until", "timeline"}``, see :mod:`ccx.runner.branches`."""
    served: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'::jsonb"))
    """``[time, branch]`` of each change of the branch that serves; before the first it was 0."""
    restoring: Mapped[dict[str, Any] | None]
    """A restore in place that is under way, or not confirmed yet; see :mod:`ccx.runner.branches`."""

    desired: Mapped[Desired] = mapped_column(default=Desired.PRESENT)
    status: Mapped[Status] = mapped_column(default=Status.CREATING)
    status_text: Mapped[str] = mapped_column(default="")
    """Why it is not STARTED: names node and cause."""
    observed: Mapped[dict[str, Any] | None]
    """The last observation, as :meth:`ccx.cmon.spec.ClusterView.to_json` gives it."""
    observed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, onupdate=utc_now)
    deleted_at: Mapped[datetime | None]

    nodes: Mapped[list[Node]] = relationship(
        back_populates="datastore", lazy="selectin", order_by="Node.index, Node.generation"
    )

    @property
    def is_gone(self) -> bool:
        return self.status in GONE


class NodeStatus(StrEnum):
    RESERVED = "reserved"
    """Its row exists; the cloud may or may not know it yet."""
    ACTIVE = "active"
    LOST = "lost"
    KEPT = "kept"
    """Off, with the data of before a restore in place, until that is confirmed or taken back."""
    RETIRED = "retired"
    """Its server is gone for good. The row stays for the record."""


class Node(Owned, Base):
    """A server of a datastore. Its uuid and generation are stored before the cloud is called."""

    __tablename__ = "node"
    __table_args__ = (UniqueConstraint("datastore_id", "index", "generation"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    datastore_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.datastore.id"))
    index: Mapped[int]
    """Place in the datastore, from 1. A replacement takes the place of the lost one, with the next generation."""
    generation: Mapped[int] = mapped_column(default=1)
    branch: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Of the datastore's history, which its data are of."""
    status: Mapped[NodeStatus] = mapped_column(default=NodeStatus.RESERVED)
    server: Mapped[str]
    """The cloud's name of the server: ``ccx-<instance>-<datastore>-<node>-<generation>``."""
    volume: Mapped[str]
    hostname: Mapped[str]
    """``n<index>g<generation>.<short id>.<userDomain>``: its DNS name, and a name in its certificate."""
    zone: Mapped[str] = mapped_column(default="")
    address: Mapped[str | None]
    public_address: Mapped[str | None]
    host_key: Mapped[str | None]
    """The SSH host's public key, which connections are pinned to."""
    phoned_home_at: Mapped[datetime | None]
    bootstrap_error: Mapped[str | None]
    """What the node reported when its bootstrap failed, in a user's words."""
    lost_since: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    datastore: Mapped[Datastore] = relationship(back_populates="nodes")

    @property
    def label(self) -> str:
        """How people call it: ``n1g1``."""
        return f"n{self.index}g{self.generation}"


class FirewallRule(Owned, Base):
    """A source that may reach a datastore's ports."""

    __tablename__ = "firewall_rule"
    __table_args__ = (UniqueConstraint("datastore_id", "source"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    datastore_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.datastore.id"))
    source: Mapped[str]
    """As it was written (clients compare it as text): ``192.0.2.7`` or ``192.0.2.0/24``."""
    description: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Backup(Owned, Base):
    """A complete backup in the object store. The row outlives its datastore, as the backup does."""

    __tablename__ = "backup"
    __table_args__ = (UniqueConstraint("datastore_id", "label"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    datastore_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.datastore.id"))
    branch: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Of the datastore's history."""
    label: Mapped[str]
    """The tool's name of it."""
    parent: Mapped[str | None]
    """Label of the one that it builds on."""
    kind: Mapped[str]
    """``full`` or ``incremental``."""
    good: Mapped[bool]
    """The tool found no page with a wrong checksum."""
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes of the database."""
    stored: Mapped[int] = mapped_column(BigInteger)
    """Bytes that it added to the store."""
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    wal_first: Mapped[str | None]
    """The first segment of the log that it needs to be whole."""
    wal_last: Mapped[str | None]
    lsn: Mapped[str | None]
    """Where in the log it is whole: it can be restored to this place and to later ones."""
    xid: Mapped[int | None] = mapped_column(BigInteger)
    """Transactions from this one on ended after it; None: nobody asked."""
    node: Mapped[str | None]
    """Label of the node that copied it; None: nobody noted it."""
    tool: Mapped[str | None]
    """What made it; None: what makes all of the vendor's."""
    drill: Mapped[dict[str, Any] | None]
    """What the last restore of it, made to prove it, found: ``{"at", "proved", "seconds", "err", …}``."""
    unusable: Mapped[str | None]
    """Why it can't be restored, as verification found: the object, and what is wrong with it."""
    verified_at: Mapped[datetime | None]
    """When all of its objects were last read."""
    log_until: Mapped[datetime | None]
    """The log behind it has a gap: from it, no later time can be restored. None: there is no gap."""
    locked_until: Mapped[datetime | None]
    """Until then nobody can delete it from the store."""
    counts: Mapped[dict[str, Any] | None]
    """Rows counted when it was made: ``{"point", "exact", "rows": {table: count}, …}``; a drill compares."""


class Enrolment(Base):
    """A node's right to phone home: one token, once, until it expires. Only the token's hash is kept."""

    __tablename__ = "enrolment"
    __table_args__ = {"schema": SCHEMA}

    node_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.node.id"), primary_key=True)
    token_sha256: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    enrolled_at: Mapped[datetime | None]


class Outbox(Base):
    """Events to be published: written with the change that they report, relayed to NATS JetStream in order."""

    __tablename__ = "outbox"
    __table_args__ = {"schema": SCHEMA}

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subject: Mapped[str]
    """``ccx.datastore.<uuid>.<what>``."""
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    published_at: Mapped[datetime | None] = mapped_column(index=True)


class Audit(Base):
    """What operators did across owners, and what the control plane did on its own (fencing, repair)."""

    __tablename__ = "audit"
    __table_args__ = {"schema": SCHEMA}

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    actor: Mapped[str]
    action: Mapped[str]
    datastore_id: Mapped[UUID | None] = mapped_column(index=True)
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Observed(Base):
    """Connections that the control plane or a node opened: as the kernel there saw them, added up over all readings."""

    __tablename__ = "observed"
    __table_args__ = {"schema": SCHEMA}

    source: Mapped[str] = mapped_column(primary_key=True)
    """A node's id, or ``control-plane``."""
    user: Mapped[str] = mapped_column(primary_key=True)
    """The system user whose process it was."""
    address: Mapped[str] = mapped_column(primary_key=True)
    port: Mapped[int] = mapped_column(primary_key=True)
    protocol: Mapped[str] = mapped_column(primary_key=True)
    units: Mapped[list[str]] = mapped_column(default=list)
    names: Mapped[list[str]] = mapped_column(default=list)
    """The declared hosts that the address was, by the resolver's answers."""
    passed: Mapped[int] = mapped_column(BigInteger, default=0)
    refused: Mapped[int] = mapped_column(BigInteger, default=0)
    read_passed: Mapped[int] = mapped_column(BigInteger, default=0)
    """What the last reading said: the kernel's counters begin again when a machine does."""
    read_refused: Mapped[int] = mapped_column(BigInteger, default=0)
    first_seen: Mapped[datetime]
    passed_at: Mapped[datetime | None]
    refused_at: Mapped[datetime | None]
