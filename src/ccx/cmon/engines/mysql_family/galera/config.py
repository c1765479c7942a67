"""Everything that is written to a member: pure functions from the cluster's specification to files."""

from __future__ import annotations

import json

from ccx.cmon.engines.mysql_family import config as family
from ccx.cmon.engines.mysql_family.galera import tuning
from ccx.cmon.engines.mysql_family.galera.layout import (
    BOOTSTRAP_FILE,
    DOMAIN,
    FLAVOUR,
    GROUP,
    IST,
    KEEPER_SCRIPT,
    OWN_DOMAIN,
    SST,
    START_SCRIPT,
    VIEW_FILE,
)
from ccx.cmon.engines.mysql_family.layout import CONFIGURATION, KEEPER_UNIT, USER, apart_file
from ccx.cmon.engines.mysql_family.units import keeper_unit, started_by_script
from ccx.cmon.etcd import files as etcd_files
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec

PROVIDER = "/usr/lib/galera/libgalera_smm.so"
_SAME_ID = 1
"""The server's id is the same on all members, or their numbers of transactions would not agree."""


def node_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    """All files of a member of a new cluster. One that joins is told so by another :func:`keeper_file`."""
    node = cluster.node(label)
    return [
        *tls_files(cluster, label),
        NodeFile(family.SERVER_FILE, server_text(cluster, node)),
        keeper_file(cluster, node),
        NodeFile(f"/etc/systemd/system/{FLAVOUR.unit}", started_by_script(FLAVOUR, START_SCRIPT)),
        NodeFile(f"/etc/systemd/system/{KEEPER_UNIT}", keeper_unit(FLAVOUR, KEEPER_SCRIPT, etcd=False)),
    ]


def tls_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    return etcd_files.tls_files(cluster, label, CONFIGURATION, USER)


def server_text(cluster: ClusterSpec, node: NodeSpec) -> str:
    """The server's configuration. It starts read-only; where the others are, the script that starts it says."""
    settings = {
        **family.common(FLAVOUR, cluster, node),
        "server_id": _SAME_ID,
        "gtid_domain_id": OWN_DOMAIN,
        **family.log_limits(cluster.version, 0),
        "innodb_autoinc_lock_mode": 2,
        "wsrep_on": "ON",
        "wsrep_provider": PROVIDER,
        "wsrep_provider_options": f'"{provider_options(cluster, node)}"',
        "wsrep_cluster_name": cluster.short_id,
        "wsrep_node_name": node.label,
        "wsrep_node_address": node.address,
        "wsrep_node_incoming_address": node.address,
        "wsrep_gtid_mode": "ON",
        "wsrep_gtid_domain_id": DOMAIN,
        # A table that the group does not replicate would be on one member alone, and in no backup: it is refused.
        "wsrep_mode": "STRICT_REPLICATION",
        "wsrep_sst_method": "mariabackup",
        "wsrep_sst_auth": f"{USER}:",
        "wsrep_sst_receive_address": f"{node.address}:{SST}",
        **tuning.shown(cluster.memory_mib, cluster.cpus),
    }
    # By TLS both ways, with a password of this one transfer.
    transfer = {"encrypt": 4, "ssl-mode": "VERIFY_CA"}
    return family.section(FLAVOUR.section, settings) + family.section("sst", transfer)


def provider_options(cluster: ClusterSpec, node: NodeSpec) -> str:
    """Galera's own options: TLS with certificates on both sides, and how soon a silent member is given up."""
    options = {
        "gmcast.listen_addr": f"ssl://{node.address}:{GROUP}",
        "ist.recv_addr": f"ssl://{node.address}:{IST}",
        "socket.ssl": "yes",
        "socket.ssl_ca": CONFIGURATION / "ca.crt",
        "socket.ssl_cert": CONFIGURATION / "node.crt",
        "socket.ssl_key": CONFIGURATION / "node.key",
        "gcache.size": f"{tuning.sizes(cluster.memory_mib, cluster.cpus).gcache}M",
        "gcache.recover": "yes",
        # When all are lost at once, our own rule says who begins, as it does when they were stopped.
        "pc.recovery": "no",
        "evs.keepalive_period": "PT0.5S",
        "evs.inactive_check_period": "PT0.5S",
        "evs.suspect_timeout": "PT2S",
        "evs.inactive_timeout": "PT6S",
    }
    return ";".join(f"{name}={value}" for name, value in options.items())


def keeper_file(cluster: ClusterSpec, node: NodeSpec, *, joining: bool = False) -> NodeFile:
    """What the keeper and the script that starts the server are told. ``joining``: it is not to begin a new cluster."""
    told = {
        **family.common_to_keepers(FLAVOUR, cluster, node),
        "nodes": {member.label: member.address for member in cluster.nodes},
        "joining": joining,
        "domain": FLAVOUR.domain,
        "view_file": str(VIEW_FILE),
        "bootstrap_file": str(BOOTSTRAP_FILE),
        "waiting_file": str(FLAVOUR.run / "waiting.json"),
        "apart_file": str(apart_file(FLAVOUR)),
    }
    return NodeFile(family.KEEPER_FILE, json.dumps(told, indent=1), "0600", USER)
