"""Which members of a cluster's etcd don't follow it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ccx.cmon.etcd.client import Standing


def problems(etcd: Mapping[str, Standing | None], silent: Collection[str], tolerated: int) -> Iterator[str]:
    """Who does not follow, as seen from those who do. Where none answers, nothing is known: it is not spoken of.

    ``silent``: who is missed for more than that. ``tolerated``: entries of the log that a member may be behind.
    """
    following = [standing.applied for standing in etcd.values() if standing is not None and standing.has_leader]
    if not following:
        return
    for label, standing in etcd.items():
        behind = standing is not None and max(following) - standing.applied > tolerated
        if label not in silent and (standing is None or not standing.has_leader or behind):
            what = "does not answer" if standing is None else "has not caught up with the others"
            yield f"etcd on {label} {what}: until it does, writes stop if another node is lost"
