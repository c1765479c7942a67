"""The plan against what was seen: declared and used, declared and unused, undeclared, refused. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ccx.network.hosts import covers, is_loopback
from ccx.network.kinds import PEERS, Plane
from ccx.network.plan import Plan, Row
from ccx.network.render.nftables import egress


class Verdict(StrEnum):
    DECLARED = "declared"
    """A row of the plan holds it."""
    UNDECLARED = "undeclared"
    """It got through, and no row holds it."""
    BLOCKED = "blocked"
    """The kernel refused it, though a row holds it: a peer that is none any more, or rules that are older."""
    REFUSED = "refused"
    """The kernel refused it, and no row holds it."""


@dataclass(frozen=True)
class Destination:
    """Where somebody on ``plane`` connected to."""

    plane: Plane
    address: str
    port: int
    protocol: str
    """``tcp`` or ``udp``."""
    names: tuple[str, ...] = ()
    """Names that the resolver gave this address for."""
    peers: frozenset[str] | None = None
    """Addresses of the other nodes that its datastore has or had; None where that is not known."""


class Comparison:
    """Judges destinations."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rows = {plane: egress(plan, plane) for plane in (Plane.CONTROL, Plane.DATA)}

    def rows(self, to: Destination) -> tuple[Row, ...]:
        """The rows that hold it."""
        return tuple(
            row
            for row in self._rows[to.plane]
            if (row.port, row.protocol.transport) == (to.port, to.protocol) and self._covers(row, to)
        )

    def verdict(self, to: Destination, *, passed: bool = True) -> Verdict:
        """Of a connection that got through, or did not."""
        held = bool(self.rows(to))
        if passed:
            return Verdict.DECLARED if held else Verdict.UNDECLARED
        return Verdict.BLOCKED if held else Verdict.REFUSED

    def unused(self, used: Iterable[Destination]) -> tuple[Row, ...]:
        """The rows that none of these are by. What stays within a machine is not seen, and so not among them."""
        by = {row for to in used for row in self.rows(to)}
        rows = dict.fromkeys(row for rows in self._rows.values() for row in rows)
        return tuple(row for row in rows if row not in by and not all(is_loopback(host) for host in row.hosts))

    def _covers(self, row: Row, to: Destination) -> bool:
        if row.group is PEERS and to.peers is not None:
            return to.address in to.peers
        if row.group is not None and row.group not in self._plan.groups:
            return True  # the settings don't know its members, and the kernel's rules did: the port is all there is
        declared = (*(self._plan.groups.get(row.group, ()) if row.group else ()), *row.hosts)
        return any(covers(name, host) for name in declared for host in (to.address, *to.names))
