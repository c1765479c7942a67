"""The sources that may reach a datastore. Nobody may until one is added."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.errors import Conflict, Invalid, NotFound
from ccx.stores import outbox
from ccx.stores.models import Datastore, FirewallRule


def check_source(source: str, field: str = "source") -> str:
    """The source as it was written, if it is an IPv4 address or a network without host bits. Raises Invalid."""
    try:
        network = ipaddress.ip_network(source, strict=True)
    except ValueError:
        try:
            meant = ipaddress.ip_network(source, strict=False)
        except ValueError:
            raise Invalid(
                f"{source!r} is neither an address nor a network", field=field, remedy="Write 192.0.2.7 or 192.0.2.0/24"
            ) from None
        raise Invalid(
            f"{source} has host bits set", field=field, remedy=f"Write {meant}, or one address without /"
        ) from None
    if network.version != 4:
        raise Invalid(f"{source} is IPv6; nodes have IPv4 addresses only", field=field, remedy="Write an IPv4 network")
    return source


async def of(tx: AsyncSession, datastore: Datastore) -> Sequence[FirewallRule]:
    """The rules, oldest first."""
    rules = select(FirewallRule).where(FirewallRule.datastore_id == datastore.id).order_by(FirewallRule.id)
    return (await tx.scalars(rules)).all()


async def add(tx: AsyncSession, datastore: Datastore, source: str, description: str = "") -> FirewallRule:
    """Allows ``source``. Raises Invalid for what is no source, Conflict for one that is there already."""
    rule = FirewallRule(
        datastore_id=datastore.id,
        owner_type=datastore.owner_type,
        owner_id=datastore.owner_id,
        source=check_source(source),
        description=description,
    )
    tx.add(rule)
    try:
        async with tx.begin_nested():
            await tx.flush()
    except IntegrityError:
        raise Conflict(f"{source} is allowed already", field="source", remedy="Nothing to do") from None
    outbox.emit(tx, datastore.id, "firewall", {"added": source})
    return rule


async def remove(tx: AsyncSession, datastore: Datastore, source: str) -> None:
    """Takes the permission of exactly that source away. Raises NotFound where there is none."""
    gone = await tx.scalar(
        delete(FirewallRule)
        .where(FirewallRule.datastore_id == datastore.id, FirewallRule.source == source)
        .returning(FirewallRule.id)
    )
    if gone is None:
        raise NotFound(f"no rule allows {source}", field="source", remedy="List the rules: ccx firewall list")
    outbox.emit(tx, datastore.id, "firewall", {"removed": source})
