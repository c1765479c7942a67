"""What is written to a member: pure functions from the cluster's specification to files."""

from __future__ import annotations

from ccx.cmon.engines.mysql_family import config as family
from ccx.cmon.engines.mysql_family.galera import config, tuning
from ccx.cmon.engines.mysql_family.layout import USER
from ccx.cmon.engines.mysql_family.mariadb.galera.flavour import DOMAIN, GALERA, OWN_DOMAIN
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec

PROVIDER = "/usr/lib/galera/libgalera_smm.so"
_SAME_ID = 1
"""The server's id is the same on all members, or their numbers of transactions would not agree."""


def node_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    server = server_text(cluster, cluster.node(label)) + family.INCLUDED
    return config.node_files(GALERA, cluster, label, server)


def server_text(cluster: ClusterSpec, node: NodeSpec) -> str:
    """The server's configuration. It starts read-only."""
    gcache = tuning.sizes(cluster.memory_mib, cluster.cpus).gcache
    settings = {
        **family.common(GALERA, cluster, node),
        "server_id": _SAME_ID,
        "gtid_domain_id": OWN_DOMAIN,
        **family.log_limits(cluster.version, 0),
        "wsrep_on": "ON",
        "wsrep_provider": PROVIDER,
        **config.group_settings(cluster, node, gcache),
        "wsrep_gtid_mode": "ON",
        "wsrep_gtid_domain_id": DOMAIN,
        # A table that the group does not replicate would be on one member alone, and in no backup: it is refused.
        "wsrep_mode": "STRICT_REPLICATION",
        "wsrep_sst_method": "mariabackup",
        "wsrep_sst_auth": f"{USER}:",
        **tuning.shown(cluster.memory_mib, cluster.cpus),
    }
    # By TLS both ways, with a password of this one transfer.
    transfer = {"encrypt": 4, "ssl-mode": "VERIFY_CA"}
    return family.section(GALERA.section, settings) + family.section("sst", transfer)
