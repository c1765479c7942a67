"""One look at a cluster, through its keepers."""

from __future__ import annotations

from functools import partial

from ccx.cmon.engines.mysql_family import keeper
from ccx.cmon.engines.mysql_family.view import to_view
from ccx.cmon.manager.clients import Pair
from ccx.cmon.manager.look import look
from ccx.cmon.spec import ClusterSpec, ClusterView


async def observe(clients: Pair, cluster: ClusterSpec) -> ClusterView:
    """A request to each node's keeper and etcd, side by side. Never raises: silence is an observation, too."""
    reports, standings = await look(clients, cluster, partial(keeper.status, clients.manager))
    return to_view(cluster, reports, standings)
