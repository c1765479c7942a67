"""Percona XtraDB Cluster. It has no backups: its log does not tell places in the history that hold on all members.

A transaction is called by the group and its number there, but a member that came back after it had lost the group may
call the same ones by other names; numbers are left out for what was no transaction; and a lock on all tables does not
keep commits from happening, so that what was counted could not be said to the transaction.
"""

from __future__ import annotations

from ccx.cmon.engines.base import Port, Proof, Software
from ccx.cmon.engines.mysql_family.galera.engine import GROUP_PORTS, GaleraEngine
from ccx.cmon.engines.mysql_family.galera.layout import SST
from ccx.cmon.engines.mysql_family.layout import KEEPER, MYSQL
from ccx.cmon.engines.mysql_family.passwords import caching_sha2_verifier
from ccx.cmon.engines.mysql_family.percona.endpoints import KEEPER_STATUS
from ccx.cmon.engines.mysql_family.percona.galera import config, tuning
from ccx.cmon.engines.mysql_family.percona.galera.flavour import XTRADB_CLUSTER
from ccx.cmon.engines.mysql_family.percona.vendor import (
    IMAGE,
    LONGEST_USER,
    OFF,
    PLACES,
    VENDOR,
    VERBS,
    unconfined,
)
from ccx.cmon.engines.sizing import implied
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec


class XtraDbClusterEngine(GaleraEngine):
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = VENDOR
    image = IMAGE
    baked = ()
    """No image that is made here holds it, and nothing can stand in for it."""
    ports = (
        Port(MYSQL, "Percona XtraDB Cluster", clients=True),
        Port(KEEPER, "the keepers' status", peers=True, control=True),
        *GROUP_PORTS,
        Port(SST, "a whole copy, for a new member or where what it missed is not kept any more", peers=True),
    )
    software = Software(files=unconfined("usr.sbin.mysqld", "usr.bin.wsrep_sst_xtrabackup-v2"), off=OFF)
    verbs = VERBS
    flavour = XTRADB_CLUSTER
    row = KEEPER_STATUS
    left = "nothing is left: it has no backups"
    places = PLACES
    longest_user = LONGEST_USER
    proofs = (
        Proof(
            ("8.0", "8.4"),
            "never run: its packages are out of reach, and nothing stands in. Its configuration, what it is told and "
            "where its packages come from; the keepers' rules on MariaDB with Galera",
            ("unit/test_cmon_xtradb_cluster.py", "unit/test_galera_start.py", "unit/test_galera_keeper.py"),
        ),
    )

    @staticmethod
    def verifier(password: str) -> str:
        return caching_sha2_verifier(password)

    def parameters(self, memory_mib: int, cpus: int) -> dict[str, str]:
        return implied(tuning.of_size, memory_mib, cpus)

    def _files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.node_files(cluster, label)
