"""The node that accepts writes."""

from __future__ import annotations

from ccx.cmon.spec import ClusterSpec, ClusterView, NodeSpec
from ccx.errors import Transient


def primary_of(cluster: ClusterSpec, view: ClusterView) -> NodeSpec:
    """The one that does now, as it was seen. Raises Transient, with what is amiss, where none does."""
    if view.primary is None:
        raise Transient("; ".join(["the cluster has no primary at the moment", *view.problems]))
    return cluster.node(view.primary.label)
