"""What of a plan can be tried, and why the rest can't."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ccx.network.hosts import is_address
from ccx.network.kinds import CONTROL_PLANE, PEERS, RESOLVER, Direction, Group, Protocol
from ccx.network.plan import Plan, Row
from ccx_probe import Request

_SINGLE = (CONTROL_PLANE, RESOLVER)
_DNS, _NTP = 53, 123


@dataclass(frozen=True)
class Target:
    """One host of a row: its own, or one that stands behind it."""

    row: Row
    host: str
    request: Request | None
    """None: it can't be tried."""
    skipped: str = ""
    """Why not."""

    @property
    def key(self) -> str:
        return f"{self.row.id} {self.host} {self.row.port} {self.row.path}"


def targets(plan: Plan, rows: Iterable[Row]) -> tuple[Target, ...]:
    """Of the outbound rows among ``rows``; ``plan`` tells who is in a group."""
    return tuple(target for row in rows if row.direction is Direction.OUTBOUND for target in _targets(row, plan.groups))


def _targets(row: Row, groups: Mapping[Group, tuple[str, ...]]) -> Iterable[Target]:
    if row.group is None:
        for host in row.hosts:
            yield _target(row, host)
        return
    members = groups.get(row.group, ())
    single = [member for member in members if is_address(member) and "/" not in member]
    if row.group not in _SINGLE or not single:
        whom = "other nodes" if row.group == PEERS else row.group.words
        yield Target(row, row.host, None, f"a group: {whom}; they come and go")
        return
    for member in single:
        yield _target(row, member)


def _target(row: Row, host: str) -> Target:
    speaks = _speaks(row)
    if host.startswith("*."):
        return Target(row, host, None, "a wildcard: no single host stands for it")
    if "/" in host:
        return Target(row, host, None, "a network: no single host stands for it")
    if not speaks:
        return Target(row, host, None, "UDP: who listens does not answer to a question that he does not expect")
    path = row.path if host == row.host else ""
    key = Target(row, host, None).key
    return Target(row, host, Request(key, host, row.port, speaks, path or "/", bool(row.via)))


def _speaks(row: Row) -> str:
    if row.port == _DNS:
        return f"dns-{row.protocol.transport}"
    if row.protocol is Protocol.UDP:
        return "ntp" if row.port == _NTP else ""
    return {Protocol.HTTPS: "https", Protocol.HTTP: "http"}.get(row.protocol, "tcp")
