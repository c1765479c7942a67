"""Nodes: their rows exist before the cloud is asked for anything, so that nothing is ever made without a name."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import utc_now
from ccx.errors import Unauthenticated
from ccx.settings import Settings
from ccx.stores.models import Datastore, Enrolment, Node, NodeStatus


async def reserve(tx: AsyncSession, settings: Settings, datastore: Datastore, index: int, zone: str = "") -> Node:
    """A new node in place ``index``, of the next generation there."""
    generation = 1 + max((n.generation for n in datastore.nodes if n.index == index), default=0)
    label = f"n{index}-{generation}"
    node = Node(
        datastore_id=datastore.id,
        owner_type=datastore.owner_type,
        owner_id=datastore.owner_id,
        index=index,
        generation=generation,
        zone=zone,
        server=f"ccx-{settings.instance}-{datastore.short_id}-{label}",
        volume=f"ccx-{settings.instance}-{datastore.short_id}-{label}-data",
        hostname=f"n{index}g{generation}.{datastore.short_id}.{settings.user_domain}",
    )
    tx.add(node)
    await tx.flush()
    await tx.refresh(datastore, ["nodes"])
    return node


async def get(tx: AsyncSession, node_id: UUID) -> Node:
    """The node. It exists: ids of nodes come from our own rows."""
    return (await tx.scalars(select(Node).where(Node.id == node_id).execution_options(populate_existing=True))).one()


def present(datastore: Datastore) -> list[Node]:
    """The nodes that have, or may have, something on the cloud."""
    return [n for n in datastore.nodes if n.status is not NodeStatus.RETIRED]


def own(datastore: Datastore) -> list[Node]:
    """Of those, the ones of the branch that serves: what its users know as the datastore's nodes."""
    return [n for n in present(datastore) if n.branch == datastore.branch]


def members(datastore: Datastore) -> list[Node]:
    """The nodes that make up the cluster now: addressed, and neither lost for good nor half-made."""
    return [n for n in datastore.nodes if n.status in (NodeStatus.ACTIVE, NodeStatus.LOST) and n.address]


def reachable(datastore: Datastore) -> list[Node]:
    """Those that reported that they are there, members or not yet, and can be asked."""
    running = [n for n in present(datastore) if n.status is not NodeStatus.KEPT]
    return [n for n in running if n.phoned_home_at is not None and n.address and n.host_key]


async def allow_enrolment(tx: AsyncSession, node: Node, token: str, valid: timedelta) -> None:
    """Lets the node phone home with ``token`` for ``valid``. Repeating it replaces the former token."""
    row = await tx.get(Enrolment, node.id) or Enrolment(node_id=node.id)
    row.token_sha256, row.expires_at, row.enrolled_at = _digest(token), utc_now() + valid, None
    tx.add(row)


async def by_token(tx: AsyncSession, token: str) -> Node:
    """The node that this enrolment token was made for. Raises Unauthenticated for a wrong or expired one."""
    row = await tx.scalar(select(Enrolment).where(Enrolment.token_sha256 == _digest(token)))
    if row is None or not hmac.compare_digest(row.token_sha256, _digest(token)) or row.expires_at < utc_now():
        raise Unauthenticated("the enrolment token is unknown or expired", remedy="The control plane replaces the node")
    return await get(tx, row.node_id)


async def enrolled(tx: AsyncSession, node: Node) -> None:
    """It asked for its keys; when it did so first is kept."""
    row = await tx.get_one(Enrolment, node.id)
    row.enrolled_at = row.enrolled_at or utc_now()


async def close_enrolment(tx: AsyncSession, node: Node) -> None:
    """The node is there: its token is worth nothing from now on."""
    row = await tx.get(Enrolment, node.id)
    if row is not None:
        await tx.delete(row)


async def phoned_home(tx: AsyncSession, node_ids: Sequence[UUID]) -> list[datetime]:
    """When each of these nodes reported that it is ready; those that have not are left out."""
    rows = await tx.scalars(select(Node.phoned_home_at).where(Node.id.in_(node_ids), Node.phoned_home_at.is_not(None)))
    return [at for at in rows if at is not None]


async def overdue(tx: AsyncSession, node_ids: Sequence[UUID]) -> Sequence[Node]:
    """Those of these nodes that never reported and no longer may: their tokens have expired."""
    silent = select(Node).join(Enrolment, Enrolment.node_id == Node.id)
    silent = silent.where(Node.id.in_(node_ids), Node.phoned_home_at.is_(None), Enrolment.expires_at < utc_now())
    return (await tx.scalars(silent.order_by(Node.index, Node.generation))).all()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
