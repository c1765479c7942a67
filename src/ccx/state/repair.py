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
    """Its machine shall be started again: it may have data, or a vote, that nobody else has."""

    node: Node


def decide(view: ClusterView, members: list[Node], now: datetime, after: timedelta) -> Replace | PowerOn | None:
    """The one thing to do now, about the node that is lost the longest.

    While a primary serves, it has every acknowledged write and the cluster its quorum: another node can be made anew.
    Without one, the lost machines may be all there is: they are started again, never replaced.
    """
    overdue = [n for n in members if n.lost_since is not None and now - n.lost_since >= after]
    if not overdue:
        return None
    longest = min(overdue, key=lambda n: (n.lost_since or now, n.index))
    if view.primary is not None and view.primary.label != longest.label:
        return Replace(longest)
    return PowerOn(longest)
