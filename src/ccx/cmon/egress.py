"""A node's own kernel denies egress but for the plan, and remembers what was tried. Any cloud, whatever its firewalls.

The rules are the plan's rows of the data plane. Groups are resolved now: the peers of a node are the other members that
its cluster has, so a change of membership is told to those who stay (:func:`tell`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Any

import structlog

from ccx.cmon.node_channel import NodeChannel, NodeUnreachable
from ccx.cmon.spec import ClusterSpec
from ccx.network import PEERS, Plane, observer
from ccx.network.plan import plan
from ccx.network.render.nftables import render
from ccx.settings import Database, Settings

UNIT = "ccx-egress.service"
OBSERVED_BY, RULES = "/etc/ccx/egress/observe.nft", "/etc/ccx/egress/rules.nft"

# Before anything has the network, at every boot. Stopping it opens nothing: the rules stay in the kernel.
_UNIT = f"""[Unit]
Description=CCX: this node's egress, denied but for the network contract
DefaultDependencies=no
Before=network-pre.target sysinit.target
Wants=network-pre.target
After=local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {OBSERVED_BY}
ExecStart=/usr/sbin/nft -f {RULES}

[Install]
WantedBy=sysinit.target
"""

log = structlog.get_logger()


def rules(settings: Settings, vendor: str, version: str, peers: Iterable[str]) -> str:
    """What a node with these ``peers`` (addresses) may connect to, for ``nft -f``."""
    # What it runs, on offer or not (any more), and nothing that other vendors' nodes need.
    own = Database(code=vendor, name=vendor, versions=(version,), num_nodes=(), types=())
    needed = plan(settings.model_copy(update={"databases": (own,)}))
    return render(needed, plane=Plane.DATA, groups={PEERS: sorted(peers)})


def digest(text: str) -> str:
    """What a node tells of its rules, for comparison with what they should be."""
    return hashlib.sha256(text.encode()).hexdigest()


def calls(settings: Settings, cluster: ClusterSpec, label: str) -> list[dict[str, Any]]:
    """The verbs that install or renew the rules on a node, for its ``sequence``. What was observed is kept."""
    peers = [node.address for node in cluster.nodes if node.label != label]
    files = {
        f"/etc/systemd/system/{UNIT}": _UNIT,
        OBSERVED_BY: observer.rules(units=True),
        RULES: rules(settings, cluster.vendor, cluster.version, peers),
    }
    return [
        {"verb": "write-files", "args": {"files": [{"path": p, "content": text} for p, text in files.items()]}},
        {"verb": "services", "args": {"enable": [UNIT], "restart": [UNIT]}},
    ]


async def tell(
    channel: NodeChannel, settings: Settings, cluster: ClusterSpec, token: int, *, without: str | None = None
) -> list[str]:
    """Renews the rules on all nodes but ``without``; returns the labels of those that could not be reached.

    A node that is away learns of it when it is back: its rules are compared with every observation.
    """

    async def one(label: str) -> str | None:
        try:
            await channel.call(cluster.node(label), "sequence", {"calls": calls(settings, cluster, label)}, token=token)
        except NodeUnreachable as error:
            log.warning("a node did not get its rules", node=label, reason=str(error))
            return label
        return None

    labels = [node.label for node in cluster.nodes if node.label != without]
    return [label for label in await asyncio.gather(*map(one, labels)) if label]
