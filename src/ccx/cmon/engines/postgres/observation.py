"""One look at a cluster, through its Patronis."""

from __future__ import annotations

from functools import partial

from ccx.cmon.engines.postgres import patroni
from ccx.cmon.engines.postgres.view import most_credible, to_view
from ccx.cmon.manager.clients import Pair
from ccx.cmon.manager.look import look
from ccx.cmon.spec import ClusterSpec, ClusterView


async def observe(clients: Pair, cluster: ClusterSpec) -> ClusterView:
    """A request to each node's Patroni and etcd, side by side. Never raises: silence is an observation, too."""
    reports, standings = await look(clients, cluster, partial(patroni.cluster, clients.manager))
    unreachable = [node.label for node in cluster.nodes if node.label not in reports]
    believed = most_credible(reports)
    return to_view(cluster, reports[believed] if believed else None, believed, unreachable, standings)
