"""Auto-repair: what to do about nodes that stay lost. One at a time, and never at the price of data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ccx.cmon.spec import ClusterView
from ccx.stores.models import Node


@dataclass(frozen=True)
class Replace:
    """A new node shall take its place: the others have everything it had."""

    node: Node


@dataclass(frozen=True)
class PowerOn:
    """Their machines shall be started again: they may have data, or votes, that nobody else has."""

    nodes: tuple[Node, ...]


RESTART_AFTER = timedelta(seconds=30)
"""Without a primary. A failover takes less, and starting a machine gives nothing up."""


def decide(view: ClusterView, members: list[Node], now: datetime, after: timedelta) -> Replace | PowerOn | None:
    """The one thing to do now.

    While a primary serves, it has every acknowledged write and the cluster its quorum: the node that is lost the
    longest can be made anew. Without one, the lost machines may be all there is: they are started again, never
    replaced; all of them, for who says which has the vote that the others wait for.
    """
    if view.primary is None:
        after = min(after, RESTART_AFTER)
    overdue = [n for n in members if n.lost_since is not None and now - n.lost_since >= after]
    if not overdue:
        return None
    if view.primary is None:
        return PowerOn(tuple(overdue))
    longest = min(overdue, key=lambda n: (n.lost_since or now, n.index))
    return PowerOn((longest,)) if view.primary.label == longest.label else Replace(longest)
