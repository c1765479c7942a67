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

OFFERS = {offer.code: offer for offer in (POSTGRES, MARIADB)}
