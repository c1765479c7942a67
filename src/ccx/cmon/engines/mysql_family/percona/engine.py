"""Percona Server with a keeper and etcd on the data nodes: failover needs no control plane."""

from __future__ import annotations

from ccx.cmon.engines.base import Port, Proof
from ccx.cmon.engines.mysql_family.backed_up import BackedUpReplicas
from ccx.cmon.engines.mysql_family.layout import KEEPER, MYSQL
from ccx.cmon.engines.mysql_family.passwords import caching_sha2_verifier
from ccx.cmon.engines.mysql_family.percona import config, tuning
from ccx.cmon.engines.mysql_family.percona.endpoints import ETCD, KEEPER_STATUS
from ccx.cmon.engines.mysql_family.percona.flavour import PERCONA
from ccx.cmon.engines.mysql_family.percona.vendor import IMAGE, LONGEST_USER, PLACES, SOFTWARE, VENDOR, VERBS
from ccx.cmon.engines.mysql_family.replication import ETCD_PORTS
from ccx.cmon.engines.sizing import implied
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec

STAND_IN = "9.7"
"""MySQL's version in the image that stands in for Percona Server, whose packages it has not."""


class PerconaEngine(BackedUpReplicas):
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = VENDOR
    name = "Percona Server"
    image = IMAGE
    baked = (STAND_IN,)
    ports = (
        Port(MYSQL, "Percona Server, and copies of the data", clients=True, peers=True),
        Port(KEEPER, "the keepers' status", peers=True, control=True),
        *ETCD_PORTS,
    )
    software = SOFTWARE
    verbs = VERBS
    flavour = PERCONA
    rows = (KEEPER_STATUS, ETCD)
    places = PLACES
    longest_user = LONGEST_USER
    proofs = (
        Proof(
            ("8.0", "8.4"), "on real nodes: MySQL 9.7 in its place, whose packages are out of reach",
            (
                "e2e/test_mysql.py", "e2e/test_mysql_backup.py", "e2e/test_mysql_restore_in_place.py",
                "unit/test_mysql_dialect.py", "unit/test_cmon_percona.py",
            ),
        ),
    )  # fmt: skip

    @staticmethod
    def verifier(password: str) -> str:
        return caching_sha2_verifier(password)

    def parameters(self, memory_mib: int, cpus: int) -> dict[str, str]:
        return implied(tuning.shown, memory_mib, cpus)

    def _files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.node_files(cluster, label) + self._backup_files(cluster, label)
