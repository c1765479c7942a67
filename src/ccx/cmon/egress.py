"""A node's own kernel denies egress but for the plan, and remembers what was tried. Any cloud, whatever its firewalls.

The rules are the plan's rows of the data plane. Groups are resolved now: the peers of a node are the other members that
its cluster has, so a change of membership is told to those who stay (:func:`tell`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import structlog

from ccx.cmon.node_channel import NodeChannel, NodeUnreachable
from ccx.cmon.spec import ClusterSpec
from ccx.network import PEERS, Plane, observer
from ccx.network.hosts import is_address, is_loopback
from ccx.network.plan import Plan, plan
from ccx.network.render.nftables import egress, render, set_name
from ccx.settings import Database, Settings, TypeOfCluster

UNIT = "ccx-egress.service"
NAMES_UNIT, NAMES_TIMER = "ccx-egress-names.service", "ccx-egress-names.timer"
OBSERVED_BY, RULES = "/etc/ccx/egress/observe.nft", "/etc/ccx/egress/rules.nft"
NAMES = "/etc/ccx/egress/names.json"

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

# Names are looked up by the node itself, and again every minute: their addresses change.
_NAMES = {
    NAMES_UNIT: f"""[Unit]
Description=CCX: addresses of the declared hosts that are known by name
After={UNIT}

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -I /usr/lib/ccx-agent/ccx_agent/egress_names.py {NAMES}
""",
    NAMES_TIMER: """[Unit]
Description=CCX: looks up the declared hosts that are known by name

[Timer]
OnActiveSec=0
OnUnitInactiveSec=60
AccuracySec=1

[Install]
WantedBy=timers.target
""",
}

log = structlog.get_logger()


def rules(settings: Settings, vendor: str, version: str, peers: Iterable[str], topology: str = "") -> str:
    """What a node with these ``peers`` (addresses) may connect to, for ``nft -f``."""
    return render(_needed(settings, vendor, version, topology), plane=Plane.DATA, groups={PEERS: sorted(peers)})


def names(settings: Settings, vendor: str, version: str, topology: str = "") -> list[list[str]]:
    """The hosts known by name, each with its sets in the rules; without wildcards, which can't be looked up."""
    hosts = {host for row in egress(_needed(settings, vendor, version, topology), Plane.DATA) for host in row.hosts}
    named = (h for h in hosts if not (is_address(h) or is_loopback(h) or h.startswith(("*.", "group:"))))
    return [[host, set_name(host, 4), set_name(host, 6)] for host in sorted(named)]


def _needed(settings: Settings, vendor: str, version: str, topology: str) -> Plan:
    """What such a node runs, on offer or not (any more), and nothing that other vendors' nodes need."""
    kinds = (TypeOfCluster(code=topology, name=topology),) if topology else ()
    own = Database(code=vendor, name=vendor, versions=(version,), num_nodes=(), types=kinds)
    return plan(settings.model_copy(update={"databases": (own,)}))


def digest(text: str) -> str:
    """What a node tells of its rules, for comparison with what they should be."""
    return hashlib.sha256(text.encode()).hexdigest()


def calls(settings: Settings, cluster: ClusterSpec, label: str) -> list[dict[str, Any]]:
    """The verbs that install or renew the rules on a node, for its ``sequence``. What was observed is kept."""
    peers = [node.address for node in cluster.nodes if node.label != label]
    named = names(settings, cluster.vendor, cluster.version, cluster.cluster_type)
    files = {
        f"/etc/systemd/system/{UNIT}": _UNIT,
        OBSERVED_BY: observer.rules(units=True),
        RULES: rules(settings, cluster.vendor, cluster.version, peers, cluster.cluster_type),
        NAMES: json.dumps(named),
    }
    units = [UNIT]
    if named:
        files |= {f"/etc/systemd/system/{name}": text for name, text in _NAMES.items()}
        units.append(NAMES_TIMER)
    return [
        {"verb": "write-files", "args": {"files": [{"path": p, "content": text} for p, text in files.items()]}},
        {"verb": "services", "args": {"enable": units, "restart": units}},
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
