"""MariaDB with Galera."""

from __future__ import annotations

from ccx.cmon.engines.base import Port, Proof
from ccx.cmon.engines.mysql_family.backed_up import NumberedEngine
from ccx.cmon.engines.mysql_family.galera import tuning
from ccx.cmon.engines.mysql_family.galera.engine import GROUP_PORTS, GaleraEngine
from ccx.cmon.engines.mysql_family.galera.layout import SST
from ccx.cmon.engines.mysql_family.layout import KEEPER, MYSQL
from ccx.cmon.engines.mysql_family.mariadb.endpoints import KEEPER_STATUS
from ccx.cmon.engines.mysql_family.mariadb.galera import config
from ccx.cmon.engines.mysql_family.mariadb.galera.flavour import GALERA
from ccx.cmon.engines.mysql_family.mariadb.vendor import BAKED, IMAGE, SOFTWARE, VENDOR, VERBS
from ccx.cmon.engines.sizing import implied
from ccx.cmon.node_channel import NodeChannel, Progress
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec


class MariaDbGaleraEngine(NumberedEngine, GaleraEngine):
    """Implements :class:`ccx.cmon.engines.base.Engine`. Keeps connections; one per process is enough."""

    vendor = VENDOR
    image = IMAGE
    baked = BAKED
    ports = (
        Port(MYSQL, "MariaDB", clients=True),
        Port(KEEPER, "the keepers' status, and copies of the data", peers=True, control=True),
        *GROUP_PORTS,
        Port(SST, "a whole copy, where what it missed is not kept any more", peers=True),
    )
    software = SOFTWARE
    verbs = VERBS
    flavour = GALERA
    row = KEEPER_STATUS
    proofs = (
        Proof(
            ("11.8",),
            "on real nodes: all that is said here",
            (
                "e2e/test_galera_engine.py",
                "e2e/test_galera.py",
                "e2e/test_galera_backup.py",
                "e2e/test_galera_restore_in_place.py",
            ),
        ),
        Proof(("10.11", "11.4"), "its configuration; not run", ("unit/test_cmon_galera.py",)),
    )

    def parameters(self, memory_mib: int, cpus: int) -> dict[str, str]:
        return implied(tuning.of_size, memory_mib, cpus)

    def _files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]:
        return config.node_files(cluster, label) + self._backup_files(cluster, label)

    async def join(
        self, channel: NodeChannel, cluster: ClusterSpec, label: str, token: int, progress: Progress | None = None
    ) -> None:
        await super().join(channel, cluster, label, token, progress)
        await self._ship_from(channel, cluster, label, token)
