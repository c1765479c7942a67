"""MariaDB with a keeper and etcd on the data nodes: failover needs no control plane."""

from __future__ import annotations

from ccx.cmon.engines.base import Port, Proof
from ccx.cmon.engines.mysql_family import config
from ccx.cmon.engines.mysql_family.backed_up import BackedUpReplicas, NumberedEngine
from ccx.cmon.engines.mysql_family.layout import KEEPER, MYSQL
from ccx.cmon.engines.mysql_family.mariadb.endpoints import ETCD, KEEPER_STATUS
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB
from ccx.cmon.engines.mysql_family.mariadb.vendor import BAKED, IMAGE, SOFTWARE, VENDOR, VERBS
from ccx.cmon.engines.mysql_family.replication import ETCD_PORTS
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec


class MariaDbEngine(NumberedEngine, BackedUpReplicas):
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = VENDOR
    name = "MariaDB"
    image = IMAGE
    baked = BAKED
    ports = (
        Port(MYSQL, "MariaDB", clients=True, peers=True),
        Port(KEEPER, "the keepers' status, and copies of the data", peers=True, control=True),
        *ETCD_PORTS,
    )
    software = SOFTWARE
    verbs = VERBS
    flavour = MARIADB
    rows = (KEEPER_STATUS, ETCD)
    proofs = (
        Proof(
            ("11.8",),
            "on real nodes: all that is said here",
            ("e2e/test_mariadb.py", "e2e/test_mariadb_backup.py", "e2e/test_mariadb_restore_in_place.py"),
        ),
        Proof(("10.11", "11.4"), "its configuration; not run", ("unit/test_cmon_mariadb.py",)),
    )

    def _files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.node_files(self.flavour, cluster, label) + self._backup_files(cluster, label)
