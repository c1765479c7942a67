"""The vendors that can be put on offer by their code alone, as they are offered then."""

from __future__ import annotations

from ccx.settings.model import POSTGRES, Database, TypeOfCluster

MARIADB = Database(
    code="mariadb",
    name="MariaDB",
    versions=("11.8",),
    num_nodes=(1, 2, 3, 5),
    types=(
        TypeOfCluster(code="replication", name="Primary / Replicas"),
        TypeOfCluster(code="galera", name="Galera"),
    ),
)

PERCONA = Database(
    code="percona",
    name="Percona Server",
    versions=("8.0", "8.4"),
    num_nodes=(1, 2, 3),
    types=(TypeOfCluster(code="replication", name="Primary / Replicas"),),
)

NAMED: dict[str, tuple[TypeOfCluster, ...]] = {"percona": (TypeOfCluster(code="galera", name="XtraDB Cluster"),)}
"""By vendor: topologies that are made too, and on offer only where settings name them: they never ran here."""

OFFERS = {offer.code: offer for offer in (POSTGRES, MARIADB, PERCONA)}
