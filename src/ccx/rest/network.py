"""For operators: what control plane and nodes connected to, against the network contract."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy import select

from ccx.db import utc_now
from ccx.network.compare import Comparison, Destination, Verdict
from ccx.network.kinds import Plane
from ccx.network.plan import plan
from ccx.rest.deps import Caller, Config, Context, Transaction
from ccx.rest.routing import OperatorRoute
from ccx.rest.routing import router as make_router
from ccx.rest.schema import When
from ccx.settings import Settings
from ccx.state import observing
from ccx.stores import audit, observed
from ccx.stores.models import Node, Observed

router = make_router(OperatorRoute, "/api/admin/network", "operators")

_GRAVEST = (Verdict.UNDECLARED, Verdict.REFUSED, Verdict.BLOCKED, Verdict.DECLARED)


class ConnectionView(BaseModel):
    source: str
    """``control-plane``, or a node's host name."""
    node: str | None
    """The node's label, such as ``n1g1``."""
    datastore_uuid: UUID | None
    units: list[str]
    """The systemd units that it came from, as far as they ran when they were asked for."""
    user: str
    """The system user that it came from."""
    host: str
    """What the address is called; empty where nobody asked for it by name."""
    address: str
    port: int
    protocol: str
    verdict: Verdict
    rows: list[str]
    """Ids of the contract's rows that hold it."""
    count: int
    """Attempts, since it was first seen."""
    first_seen: When
    last_seen: When


class UnusedView(BaseModel):
    id: str
    plane: Plane
    host: str
    port: int
    protocol: str
    required: bool
    purpose: str


class BlindView(BaseModel):
    source: str
    why: str


class ObservedView(BaseModel):
    since: When
    connections: list[ConnectionView]
    unused: list[UnusedView]
    """Declared, and not used since then."""
    blind: list[BlindView]
    """Who could not be read now. What is known of them may be older."""


@router.get("/observed")
async def observed_connections(
    tx: Transaction,
    caller: Caller,
    services: Context,
    settings: Config,
    seconds: Annotated[int, Query(alias="since", ge=1, le=30 * 24 * 3600, description="seconds back")] = 3600,
    node: Annotated[str, Query(description="only this node: host name or label; control-plane")] = "",
) -> ObservedView:
    """What was tried in that time, by the kernels' own word, and what the contract says of it. Audited."""
    audit.record(tx, caller.actor, "list observed connections")
    await tx.commit()
    blind = await observing.read(services)
    since = utc_now() - timedelta(seconds=seconds)
    rows = await observed.since(tx, since)
    nodes = {str(found.id): found for found in await tx.scalars(select(Node))}
    names = _names(settings, nodes.values())
    members: dict[UUID, set[str]] = defaultdict(set)
    for found_node in nodes.values():
        members[found_node.datastore_id] |= {found_node.address} if found_node.address else set()
    comparison = Comparison(plan(settings))
    views: list[ConnectionView] = []
    used: list[Destination] = []
    for row in rows:
        source = nodes.get(row.source)
        if node and node not in _called(row.source, source):
            continue
        to = _destination(row, source, members)
        found = _views(row, source, to, comparison, names, since)
        used += [to for view in found if view.verdict in (Verdict.DECLARED, Verdict.UNDECLARED)]
        views += found
    unused = [
        UnusedView(
            id=row.id, plane=row.plane, host=row.host, port=row.port, protocol=row.protocol, required=row.required,
            purpose=row.purpose,
        )
        for row in comparison.unused(used)
        if not node or row.plane is (Plane.DATA if node != observed.CONTROL_PLANE else Plane.CONTROL)
    ]  # fmt: skip
    views.sort(key=lambda v: (_GRAVEST.index(v.verdict), v.source, v.address, v.port))
    sources = {str(found.id): found.hostname for found in nodes.values()}
    return ObservedView(
        since=since,
        connections=views,
        unused=unused,
        blind=[BlindView(source=sources.get(b.source, b.source), why=b.why) for b in blind],
    )


def _views(
    row: Observed,
    source: Node | None,
    to: Destination,
    comparison: Comparison,
    names: dict[str, list[str]],
    since: datetime,
) -> list[ConnectionView]:
    """One for what got through, one for what was refused."""
    counts = (
        (comparison.verdict(to), row.passed, row.passed_at),
        (comparison.verdict(to, passed=False), row.refused, row.refused_at),
    )
    return [
        ConnectionView(
            source=source.hostname if source else row.source,
            node=source.label if source else None,
            datastore_uuid=source.datastore_id if source else None,
            units=row.units, user=row.user, host=", ".join(dict.fromkeys([*row.names, *names.get(row.address, ())])),
            address=row.address,
            port=row.port, protocol=row.protocol, verdict=verdict,
            rows=list(dict.fromkeys(found.id for found in comparison.rows(to))),
            count=count, first_seen=row.first_seen, last_seen=last,
        )
        for verdict, count, last in counts
        if last is not None and last >= since
    ]  # fmt: skip


def _destination(row: Observed, source: Node | None, members: Mapping[UUID, set[str]]) -> Destination:
    to = Destination(Plane.CONTROL, row.address, row.port, row.protocol, tuple(row.names))
    if source is None:
        return to
    peers = members[source.datastore_id] - {source.address or ""}
    return replace(to, plane=Plane.DATA, peers=frozenset(peers))


def _called(source: str, node: Node | None) -> Sequence[str]:
    return (node.hostname, node.label, source) if node else (source,)


def _names(settings: Settings, nodes: Iterable[Node]) -> dict[str, list[str]]:
    """What addresses are called."""
    found: dict[str, list[str]] = {}
    for address, name in (
        (settings.control_address, settings.fqdn or "control plane"),
        (settings.resolver_address, "resolver"),
        *((node.address, node.hostname) for node in nodes),
    ):
        if address:
            found.setdefault(address, []).append(name)
    return found
