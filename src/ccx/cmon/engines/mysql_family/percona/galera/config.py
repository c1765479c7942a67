"""What is written to a member: pure functions from the cluster's specification to files.

None of it was tried on a server: what options there are, and what they do, is by Percona's documentation.
"""

from __future__ import annotations

from ccx.cmon.engines.mysql_family import config as family
from ccx.cmon.engines.mysql_family.galera import config as galera
from ccx.cmon.engines.mysql_family.percona import config as percona
from ccx.cmon.engines.mysql_family.percona.galera import tuning
from ccx.cmon.engines.mysql_family.percona.galera.flavour import XTRADB_CLUSTER
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec

PROVIDER = "/usr/lib/galera4/libgalera_smm.so"
PLUGINS = ("auth_socket.so",)
_ENDS_WITHIN_S = 1
"""For which a member that is told to end says so first, to proxies, which there are none of. By itself it is 10."""


def node_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    return galera.node_files(XTRADB_CLUSTER, cluster, label, server_text(cluster, cluster.node(label)))


def server_text(cluster: ClusterSpec, node: NodeSpec) -> str:
    """The server's configuration. It starts read-only."""
    gcache = tuning.sizes(cluster.memory_mib, cluster.cpus).gcache
    certificates = percona.certificates()
    settings = {
        **percona.common(node, PLUGINS),
        # Not super_read_only: a keeper, who may do everything, claims the writes for its member before that opens.
        # Nobody else is let by: no tenant has a privilege that is global and changes anything.
        "read_only": "ON",
        # What the group can't replicate truly is refused: tables of other engines, or without a primary key.
        "pxc_strict_mode": "ENFORCING",
        # By itself it is so, but the script that copies looks for it here. The certificates are those of [mysqld], on
        # both sides: the documentation wants the same ones on all members, yet who connects is asked for one of the
        # same CA, whatever name it has.
        "pxc_encrypt_cluster_traffic": "ON",
        "pxc_maint_transition_period": _ENDS_WITHIN_S,
        "wsrep_provider": PROVIDER,
        **galera.group_settings(cluster, node, gcache),
        # The one that is always there. It needs no user: the server makes one for each copy.
        "wsrep_sst_method": "xtrabackup-v2",
        **tuning.shown(cluster.memory_mib, cluster.cpus),
    }
    transfer = {"encrypt": 4, **{name.replace("_", "-"): path for name, path in certificates.items()}}
    return family.section(XTRADB_CLUSTER.section, settings) + family.section("sst", transfer)
