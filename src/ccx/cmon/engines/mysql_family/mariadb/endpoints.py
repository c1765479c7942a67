"""MariaDB with a keeper and etcd: clients, members, what the control plane asks of them; where packages come from."""

from ccx.network import (
    CLIENTS,
    NODES,
    PEERS,
    STOCK_IMAGES,
    VENDORS_KEYS,
    Direction,
    Mirror,
    Plane,
    Protocol,
    declare,
    for_topology,
    for_vendor,
)
from ccx.network.mirror import repository

_MARIADB = for_vendor("mariadb")
_REPLICAS = for_topology("mariadb", "replication")
"""Galera's members are their own consensus, and copy by ports of their own."""

CLIENT_CONNECTIONS = declare(
    id="mariadb.clients",
    section=None,
    reason="What a datastore is for; the specification lists outbound connections only",
    host=CLIENTS,
    ports=3306,
    protocol=Protocol.TCP,
    direction=Direction.INBOUND,
    plane=Plane.DATA,
    needed=_MARIADB,
    service="MariaDB",
    purpose="applications connect (TLS), from the sources that the datastore's firewall allows",
    when_blocked="applications can't reach the datastore; nothing else changes",
)

KEEPER_STATUS = declare(
    id="mariadb.keeper",
    section=None,
    reason="The control plane asks keepers for a cluster's state; the specification lists no connection to nodes",
    host=NODES,
    ports=8008,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    needed=_MARIADB,
    service="cmon",
    purpose="state of the cluster, and planned changes of primary (mutual TLS)",
    when_blocked="the datastore shows as UNKNOWN; it serves and fails over by itself",
)

ETCD = declare(
    id="mariadb.etcd",
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
    id="mariadb.peers.replication",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=3306,
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_REPLICAS,
    service="MariaDB",
    purpose="replication between the nodes of a datastore (mutual TLS)",
    when_blocked="replicas fall behind; without a synchronous one writes wait, and the datastore is DEGRADED",
)

KEEPER_PEERS = declare(
    id="mariadb.peers.keeper",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=8008,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_MARIADB,
    service="keeper",
    purpose="a new node, or one whose history went astray, gets a copy of the primary's data (mutual TLS)",
    when_blocked="a node can't join; those that run go on, and fail over",
)

ETCD_PEERS = declare(
    id="mariadb.peers.etcd",
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

PACKAGES = declare(
    id="packages.mariadb",
    section=3,
    host="dlm.mariadb.com",
    ports=80,
    protocol=Protocol.HTTP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=STOCK_IMAGES & _MARIADB,
    service="apt, run by ccx-agent",
    purpose="MariaDB server packages",
    mirror=Mirror.APT_REPOSITORY,
    path="/repo/mariadb-server/",
    source="specification, section 3; redirects to storage on a host not known: mirror it",
    when_blocked="a new node's packages are not installed: its job fails, names this repository and is undone; "
    "nodes that run go on",
)

PACKAGES_KEY = declare(
    id="packages.key-mariadb",
    section=None,
    reason="Repositories' signing keys come from hosts that the specification leaves out",
    host="supplychain.mariadb.com",
    ports=443,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=STOCK_IMAGES & _MARIADB & VENDORS_KEYS,
    service="ccx-agent",
    purpose="MariaDB's signing key",
    mirror=Mirror.APT_REPOSITORY,
    path="/MariaDB-Server-GPG-KEY",
    when_blocked="a new node can't check MariaDB's packages and installs none: its job fails, names the key's URL and "
    "is undone; nodes that run go on",
)

REPOSITORY = repository(
    row=PACKAGES.id,
    path="{version}/repo/{distribution}",
    suites=("{codename}",),
    key=PACKAGES_KEY.id,
    vendor="mariadb",
    packages={
        "": (
            "etcd-client", "etcd-server", "galera-4", "mariadb-backup", "mariadb-client", "mariadb-server",
            "prometheus-node-exporter", "rclone", "zstd",
        )
    },
    # The operating system has a MariaDB of its own, which may be newer.
    pins={"mariadb-*": "1:{version}.*", "libmariadb*": "1:{version}.*"},
)  # fmt: skip
