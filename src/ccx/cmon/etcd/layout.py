"""Where etcd is on a node, which ports it uses, and which nodes carry a member."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from ccx.cmon.spec import ClusterSpec, NodeSpec

ETCD_CLIENT, ETCD_PEER = 2379, 2380

ETCD_CONFIGURATION = PurePosixPath("/etc/ccx/etcd")
DATA = PurePosixPath("/var/lib/ccx-data")
"""The data volume."""
ETCD_UNIT = "ccx-etcd.service"
NAMESPACE = "/ccx/"
"""Of a failover manager's keys; what follows is the datastore's short id. Who leads stands in ``<short id>/leader``."""


def place(node: NodeSpec) -> tuple[int, int]:
    """``n2g3`` -> (2, 3): the node's place in the cluster, and its generation there."""
    matched = re.fullmatch(r"n(\d+)g(\d+)", node.label)
    assert matched, f"{node.label} is no node label"
    return int(matched[1]), int(matched[2])


def etcd_members(nodes: Sequence[NodeSpec]) -> tuple[NodeSpec, ...]:
    """The nodes that carry an etcd member: one of 1-2, three of 3-4, five of more; those of the lowest places.

    Two members would be worse than one: both are needed for a majority.
    """
    count = 1 if len(nodes) <= 2 else 3 if len(nodes) <= 4 else 5
    return tuple(sorted(nodes, key=place)[:count])


def carries_etcd(cluster: ClusterSpec, label: str) -> bool:
    return any(node.label == label for node in etcd_members(cluster.nodes))


def client_url(node: NodeSpec) -> str:
    return node_url(node, ETCD_CLIENT)


def peer_url(node: NodeSpec) -> str:
    return node_url(node, ETCD_PEER)


def node_url(node: NodeSpec, port: int) -> str:
    host = f"[{node.address}]" if ":" in node.address else node.address
    return f"https://{host}:{port}"
