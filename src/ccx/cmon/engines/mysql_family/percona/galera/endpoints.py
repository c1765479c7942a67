"""XtraDB Cluster: what its members say to each other, and its packages. The rest of its rows are Percona Server's."""

from ccx.network import (
    PEERS,
    STOCK_IMAGES,
    Direction,
    Endpoint,
    Mirror,
    Plane,
    Protocol,
    declare,
    for_topology,
    for_version,
)
from ccx.network.mirror import repository

_VENDOR, _TOPOLOGY = "percona", "galera"
_MEMBERS = for_topology(_VENDOR, _TOPOLOGY)

GROUP = declare(
    id="pxc.peers.group",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=(4444, 4567, 4568),
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_MEMBERS,
    service="Percona XtraDB Cluster",
    purpose="the group (4567), what a member missed (4568) and whole copies (4444) between members (mutual TLS)",
    when_blocked="who can't reach a majority stops serving; a new node, or one that comes back, can't join",
)

KEEPER_PEERS = declare(
    id="pxc.peers.keeper",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=8008,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_MEMBERS,
    service="keeper",
    purpose="which group there is to join, and how far each one's data go when there is none (mutual TLS)",
    when_blocked="a node can't join, and a group all of whose members were lost does not begin again; "
    "members that run go on",
)


def _packages(name: str, version: str) -> Endpoint:
    return declare(
        id=f"packages.{name}",
        section=3,
        host="repo.percona.com",
        ports=80,
        protocol=Protocol.HTTP,
        direction=Direction.OUTBOUND,
        plane=Plane.DATA,
        needed=STOCK_IMAGES & for_version(_VENDOR, version, "Percona") & _MEMBERS,
        service="apt, run by ccx-agent",
        purpose=f"Percona XtraDB Cluster {version} packages",
        mirror=Mirror.APT_REPOSITORY,
        path=f"/{name}/apt",
        source="specification, section 3",
        when_blocked="a new node's packages are not installed: its job fails, names this repository and is undone; "
        "nodes that run go on",
    )


PACKAGES = {"8.0": _packages("pxc-80", "8.0"), "8.4": _packages("pxc-84-lts", "8.4")}
"""By version. They conflict with Percona Server's: no node is told of the repositories of both."""

for _version, _row in PACKAGES.items():
    repository(
        row=_row.id, suites=("{codename}",), key="packages.key-percona", vendor=_VENDOR, topology=_TOPOLOGY,
        packages={_version: ("percona-xtradb-cluster-server", "prometheus-node-exporter")},
    )  # fmt: skip
