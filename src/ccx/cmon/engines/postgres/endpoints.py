"""PostgreSQL with Patroni and etcd: clients, members, and what the control plane asks of them."""

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
    Status,
    declare,
    for_vendor,
)
from ccx.network.mirror import repository

_POSTGRES = for_vendor("postgres")

CLIENT_CONNECTIONS = declare(
    id="postgres.clients",
    section=None,
    reason="What a datastore is for; the specification lists outbound connections only",
    host=CLIENTS,
    ports=5432,
    protocol=Protocol.TCP,
    direction=Direction.INBOUND,
    plane=Plane.DATA,
    needed=_POSTGRES,
    service="PostgreSQL",
    purpose="applications connect (TLS), from the sources that the datastore's firewall allows",
    when_blocked="applications can't reach the datastore; nothing else changes",
)

PATRONI_REST = declare(
    id="postgres.patroni",
    section=None,
    reason="The control plane asks Patroni for a cluster's state; the specification lists no connection to nodes",
    host=NODES,
    ports=8008,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    needed=_POSTGRES,
    service="cmon",
    purpose="state of the cluster, and planned changes of primary (mutual TLS)",
    when_blocked="the datastore shows as UNKNOWN; it serves and fails over by itself",
)

ETCD = declare(
    id="postgres.etcd",
    section=None,
    reason="Fencing ends the dead leader's lease; the specification lists no connection to nodes",
    host=NODES,
    ports=2379,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    needed=_POSTGRES,
    required=False,
    service="cmon",
    purpose="ends a fenced leader's lease, so that failover does not wait for it to expire (mutual TLS)",
    when_blocked="failover waits for the lease to expire (20 s); a lost node is replaced when it is open again",
)

REPLICATION = declare(
    id="postgres.peers.replication",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=5432,
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_POSTGRES,
    service="PostgreSQL",
    purpose="streaming replication between the nodes of a datastore (TLS)",
    when_blocked="replicas fall behind; without a synchronous one writes wait, and the datastore is DEGRADED",
)

PATRONI_PEERS = declare(
    id="postgres.peers.patroni",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=8008,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_POSTGRES,
    service="Patroni",
    purpose="members compare their positions before one is promoted (mutual TLS)",
    when_blocked="no replica is promoted while it can't see the others",
)

ETCD_PEERS = declare(
    id="postgres.peers.etcd",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=(2379, 2380),
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_POSTGRES,
    service="etcd",
    purpose="the datastore's own consensus: who leads (mutual TLS)",
    when_blocked="without a majority of members the primary steps down and the datastore is read-only",
)

BACKUP_PEERS = declare(
    id="postgres.peers.backup",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=8432,
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_POSTGRES,
    required=False,
    service="pgBackRest",
    purpose="a replica that makes a backup asks the primary for what only that has (mutual TLS)",
    when_blocked="backups are made on the primary",
)

POSTGRES_EXPORTER = declare(
    id="postgres.exporter",
    section=None,
    reason="Metrics of nodes are scraped; the specification lists no connection to them",
    host=NODES,
    ports=9187,
    protocol=Protocol.HTTP,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    needed=_POSTGRES,
    required=False,
    status=Status.PLANNED,
    service="Victoria Metrics",
    purpose="PostgreSQL's metrics",
    when_blocked="dashboards have no PostgreSQL metrics",
)

NODE_EXPORTER = declare(
    id="node.exporter",
    section=None,
    reason="Metrics of nodes are scraped; the specification lists no connection to them",
    host=NODES,
    ports=9100,
    protocol=Protocol.HTTP,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    required=False,
    status=Status.PLANNED,
    service="Victoria Metrics",
    purpose="metrics of the node: CPU, memory, disk",
    when_blocked="dashboards have no metrics of nodes",
)

PACKAGES = declare(
    id="packages.postgresql",
    section=3,
    host="apt.postgresql.org",
    ports=80,
    protocol=Protocol.HTTP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=STOCK_IMAGES & _POSTGRES,
    service="apt, run by ccx-agent",
    purpose="PostgreSQL PGDG packages",
    mirror=Mirror.APT_REPOSITORY,
    path="/pub/repos/apt",
    when_blocked="a new node's packages are not installed: its job fails, names this repository and is undone; "
    "nodes that run go on",
)

PACKAGES_KEY = declare(
    id="packages.key-postgresql",
    section=None,
    reason="Repositories' signing keys come from hosts that the specification leaves out",
    host="www.postgresql.org",
    ports=443,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=STOCK_IMAGES & _POSTGRES & VENDORS_KEYS,
    service="ccx-agent",
    purpose="PGDG's signing key",
    mirror=Mirror.APT_REPOSITORY,
    path="/media/keys/ACCC4CF8.asc",
    when_blocked="a new node can't check PGDG's packages and installs none: its job fails, names the key's URL and is "
    "undone; nodes that run go on",
)

REPOSITORY = repository(
    row=PACKAGES.id,
    suites=("{codename}-pgdg",),
    key=PACKAGES_KEY.id,
    vendor="postgres",
    # Debian's patroni is satisfied by another store's client; without these two it can't speak etcd.
    packages={
        "": (
            "etcd-client", "etcd-server", "patroni", "pgbackrest", "postgresql-{version}",
            "prometheus-node-exporter", "prometheus-postgres-exporter", "python3-dnspython", "python3-etcd",
        )
    },
)  # fmt: skip
