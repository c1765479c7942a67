"""What the formats for firewalls outside of the machines share: which rows they show, and how.

Unlike the rules that we load ourselves, they hold planned rows as well, marked as such: whoever has to ask somebody
else for a rule asks once, before the service comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ccx.network.hosts import is_address, is_loopback
from ccx.network.kinds import CONTROL_PLANE, NODES, PEERS, Direction, Group, Plane, Protocol, Status
from ccx.network.plan import Plan, Row

ANYWHERE = ("0.0.0.0/0", "::/0")
WEB = (Protocol.HTTPS, Protocol.HTTP)


@dataclass(frozen=True)
class Flow:
    """Ports between a plane and networks, and the rows that need them."""

    port: int
    transport: str
    peers: tuple[str, ...]
    """Networks; :data:`ANYWHERE` for names that nobody resolved and groups that nobody knows."""
    group: Group | None
    rows: tuple[Row, ...]

    @property
    def is_exact(self) -> bool:
        """False where the format can't say the peer's name, and so allows any address on the port."""
        return self.peers != ANYWHERE

    def words(self, most: int = 255) -> str:
        """The rows' ids, shortened to ``most`` characters, for a rule's description."""
        text = ", ".join(dict.fromkeys(mark(row) for row in self.rows))
        return text if len(text) <= most else f"{text[: most - 4]} ..."


def mark(row: Row) -> str:
    """The row's id, and whether its service is planned."""
    return f"{row.id} (planned)" if row.status is Status.PLANNED else row.id


def outbound(plan: Plan, *planes: Plane) -> tuple[Row, ...]:
    """Rows that leave these planes for somewhere else, straight: what goes by a proxy is the proxy's to allow."""
    return tuple(
        row for row in plan.select(*planes, direction=Direction.OUTBOUND) if not row.via and not is_loopback(row.host)
    )


def web(plan: Plan, *planes: Plane) -> tuple[Row, ...]:
    """Rows to named hosts or addresses outside, by HTTP, whether by a proxy or not."""
    return tuple(
        row
        for row in plan.select(*planes, direction=Direction.OUTBOUND)
        if row.protocol in WEB and row.group is None and not is_loopback(row.host)
    )


def flows(
    rows: Iterable[Row],
    groups: Mapping[Group, tuple[str, ...]],
    resolved: Mapping[str, Iterable[str]],
    port_of: Callable[[Row], int] = lambda row: row.port,
) -> Iterator[Flow]:
    """The rows by port and peer, each pair once."""
    found: dict[tuple[int, str, tuple[str, ...], Group | None], list[Row]] = {}
    for row in rows:
        for host in row.hosts:
            is_group = row.group is not None and host == row.host
            if is_group and row.group is not None:
                peers = tuple(groups.get(row.group, ())) or ANYWHERE
            elif is_address(host):
                peers = (host,)
            else:
                peers = tuple(resolved.get(host, ())) or ANYWHERE
            key = (port_of(row), row.protocol.transport, tuple(map(network, peers)), row.group if is_group else None)
            found.setdefault(key, []).append(row)
    for (port, transport, peers, group), needing in sorted(
        found.items(), key=lambda item: (item[0][0], item[0][1], item[0][2], str(item[0][3]))
    ):
        yield Flow(port, transport, peers, group, tuple(dict.fromkeys(needing)))


SECURITY_GROUPS = {Plane.CONTROL: "ccx-control", Plane.DATA: "ccx-nodes"}
"""A security group for each plane that has machines of ours."""
OURS = {NODES: "{ccx-nodes}", PEERS: "{ccx-nodes}", CONTROL_PLANE: "{ccx-control}"}
"""Groups that are one of these; ``{name}`` stands for the id that the cloud gives it."""


def admitted(plan: Plan, plane: Plane) -> Iterator[Flow]:
    """What a plane's security group must let in: from outside, and what our own groups let out to it."""
    yield from flows(plan.select(plane, direction=Direction.INBOUND), plan.groups, {})
    if plane is Plane.DATA:
        yield from _sent(NODES, (r for r in outbound(plan, Plane.DATA) if r.group is PEERS))
        yield from _sent(CONTROL_PLANE, (r for r in outbound(plan, Plane.CONTROL) if r.group is NODES))
    else:
        yield from _sent(NODES, (r for r in outbound(plan, Plane.DATA) if r.group is CONTROL_PLANE))


def _sent(sender: Group, rows: Iterable[Row]) -> Iterator[Flow]:
    for flow in flows(rows, {}, {}):
        yield replace(flow, group=sender)


def network(text: str) -> str:
    """An address as a network."""
    if "/" in text:
        return text
    return f"{text}/128" if ":" in text else f"{text}/32"
