"""Percona Server with a keeper and etcd: clients, members, what the control plane asks of them; its packages."""

from __future__ import annotations

from ccx.network import (
    CLIENTS,
    NODES,
    PEERS,
    STOCK_IMAGES,
    VENDORS_KEYS,
    Direction,
    Endpoint,
    Mirror,
    Plane,
    Protocol,
    When,
    declare,
    for_topology,
    for_vendor,
    for_version,
)
from ccx.network.mirror import repository

_VENDOR, _TOPOLOGY = "percona", "replication"
_PERCONA = for_vendor(_VENDOR)
_REPLICAS = for_topology(_VENDOR, _TOPOLOGY)
"""XtraDB Cluster's members are their own consensus, and copy by ports of their own."""

CLIENT_CONNECTIONS = declare(
    id="percona.clients",
    section=None,
    reason="What a datastore is for; the specification lists outbound connections only",
    host=CLIENTS,
    ports=3306,
    protocol=Protocol.TCP,
    direction=Direction.INBOUND,
    plane=Plane.DATA,
    needed=_PERCONA,
    service="Percona Server",
    purpose="applications connect (TLS), from the sources that the datastore's firewall allows",
    when_blocked="applications can't reach the datastore; nothing else changes",
)

KEEPER_STATUS = declare(
    id="percona.keeper",
    section=None,
    reason="The control plane asks keepers for a cluster's state; the specification lists no connection to nodes",
    host=NODES,
    ports=8008,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    needed=_PERCONA,
    service="cmon",
    purpose="state of the cluster, and planned changes of primary (mutual TLS)",
    when_blocked="the datastore shows as UNKNOWN; it serves and fails over by itself",
)

ETCD = declare(
    id="percona.etcd",
    section=None,
    reason="Fencing ends the dead leader's lease; the specification lists no connection to nodes",
    host=NODES,
    ports=2379,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    needed=_REPLICAS,
    service="cmon",
    purpose="says who the members are, and ends a fenced leader's lease, so that failover does not wait (mutual TLS)",
    when_blocked="no datastore is made and no lost node replaced; failover waits for the lease to expire (10 s)",
)

REPLICATION = declare(
    id="percona.peers.replication",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=3306,
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_REPLICAS,
    service="Percona Server",
    purpose="replication between the nodes of a datastore, and copies of the primary's data for new ones (mutual TLS)",
    when_blocked="replicas fall behind and no node can join; without a synchronous copy writes wait: DEGRADED",
)

KEEPER_PEERS = declare(
    id="percona.peers.keeper",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=8008,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_REPLICAS,
    required=False,
    service="ccx-agent",
    purpose="whether a node that the control plane can't reach is there for its peers",
    when_blocked="a node that only the control plane can't reach is taken for lost, and replaced; nothing else changes",
)

ETCD_PEERS = declare(
    id="percona.peers.etcd",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=(2379, 2380),
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_REPLICAS,
    service="etcd",
    purpose="the datastore's own consensus: who leads (mutual TLS)",
    when_blocked="without a majority of members the primary ends its server, and comes back read-only",
)


_OFFERED = {version: for_version(_VENDOR, version, "Percona") for version in ("8.0", "8.4")}


def _packages(name: str, purpose: str, needed: When, blocked: str) -> Endpoint:
    return declare(
        id=f"packages.{name}",
        section=3,
        host="repo.percona.com",
        ports=80,
        protocol=Protocol.HTTP,
        direction=Direction.OUTBOUND,
        plane=Plane.DATA,
        needed=STOCK_IMAGES & needed,
        service="apt, run by ccx-agent",
        purpose=purpose,
        mirror=Mirror.APT_REPOSITORY,
        path=f"/{name.removeprefix('percona-')}/apt",
        source="specification, section 3",
        when_blocked=f"{blocked}: its job fails, names this repository and is undone; nodes that run go on",
    )


_NOT_INSTALLED = "a new node's packages are not installed"
PACKAGES = {
    version: _packages(name, f"Percona Server {version} packages", _OFFERED[version] & _REPLICAS, _NOT_INSTALLED)
    for version, name in (("8.0", "ps-80"), ("8.4", "ps-84-lts"))
}
"""By version. XtraDB Cluster's packages conflict with these: no node is told of the repositories of both."""

BACKUP_PACKAGES = {
    version: _packages(
        name, f"Percona XtraBackup {version}, which copies a server's data", _OFFERED[version], _NOT_INSTALLED
    )
    for version, name in (("8.0", "pxb-80"), ("8.4", "pxb-84-lts"))
}
"""By version of the server: a series of the one copies the same series of the other."""
_XTRABACKUP = {"8.0": "percona-xtrabackup-80", "8.4": "percona-xtrabackup-84"}

TELEMETRY = _packages(
    "percona-telemetry", "the telemetry agent, which the server's package depends on; it is switched off",
    _OFFERED["8.0"] | _OFFERED["8.4"], "the server's packages can't be installed without it",
)  # fmt: skip

PACKAGES_KEY = declare(
    id="packages.key-percona",
    section=None,
    reason="Repositories' signing keys come from hosts that the specification leaves out",
    host="repo.percona.com",
    ports=443,
    path="/yum/PERCONA-PACKAGING-KEY",
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=STOCK_IMAGES & _PERCONA & VENDORS_KEYS,
    service="ccx-agent",
    purpose="Percona's signing key",
    mirror=Mirror.APT_REPOSITORY,
    source="Percona's instructions name it so for all its packages; not fetched here, the host is out of reach",
    when_blocked="a new node can't check Percona's packages and installs none: its job fails, names the key's URL and "
    "is undone; nodes that run go on",
)

# Beside the server what every node of the family runs, from the system's own repositories.
_INSTALLED = (
    "etcd-client", "etcd-server", "percona-server-server", "prometheus-node-exporter", "rclone", "zstd",
)  # fmt: skip
for _version, _row in PACKAGES.items():
    repository(
        row=_row.id, suites=("{codename}",), key=PACKAGES_KEY.id, vendor=_VENDOR, topology=_TOPOLOGY,
        packages={_version: _INSTALLED},
    )  # fmt: skip
for _version, _row in BACKUP_PACKAGES.items():
    repository(
        row=_row.id, suites=("{codename}",), key=PACKAGES_KEY.id, vendor=_VENDOR,
        packages={_version: (_XTRABACKUP[_version],)},
    )  # fmt: skip
repository(
    row=TELEMETRY.id, suites=("{codename}",), key=PACKAGES_KEY.id, vendor=_VENDOR,
    packages={version: ("percona-telemetry-agent",) for version in PACKAGES},
)  # fmt: skip
