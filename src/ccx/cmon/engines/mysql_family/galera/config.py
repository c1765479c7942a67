"""What is written to a member of any vendor's: pure functions from the cluster's specification to files."""

from __future__ import annotations

import json

from ccx.cmon.engines.mysql_family import config as family
from ccx.cmon.engines.mysql_family.galera.layout import (
    BOOTSTRAP_FILE,
    GROUP,
    IST,
    KEEPER_SCRIPT,
    SST,
    START_SCRIPT,
    VIEW_FILE,
)
from ccx.cmon.engines.mysql_family.layout import CONFIGURATION, KEEPER_UNIT, USER, Flavour, apart_file
from ccx.cmon.engines.mysql_family.units import keeper_unit, started_by_script
from ccx.cmon.etcd import files as etcd_files
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec


def node_files(flavour: Flavour, cluster: ClusterSpec, label: str, server: str) -> list[NodeFile]:
    """All files of a member of a new cluster. One that joins is told so by another :func:`keeper_file`.

    ``server``: the server's configuration.
    """
    node = cluster.node(label)
    return [
        *tls_files(cluster, label),
        NodeFile(family.SERVER_FILE, server),
        keeper_file(flavour, cluster, node),
        NodeFile(f"/etc/systemd/system/{flavour.unit}", started_by_script(flavour, START_SCRIPT)),
        NodeFile(f"/etc/systemd/system/{KEEPER_UNIT}", keeper_unit(flavour, KEEPER_SCRIPT, etcd=False)),
    ]


def tls_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    return etcd_files.tls_files(cluster, label, CONFIGURATION, USER)


def group_settings(cluster: ClusterSpec, node: NodeSpec, gcache: int) -> dict[str, object]:
    """Who the member is, and how it reaches the others. Where they are, the script that starts it says."""
    return {
        "innodb_autoinc_lock_mode": 2,
        "wsrep_provider_options": f'"{provider_options(node, gcache)}"',
        "wsrep_cluster_name": cluster.short_id,
        "wsrep_node_name": node.label,
        "wsrep_node_address": node.address,
        "wsrep_node_incoming_address": node.address,
        "wsrep_sst_receive_address": f"{node.address}:{SST}",
    }


def provider_options(node: NodeSpec, gcache: int) -> str:
    """Galera's own options: TLS with certificates on both sides, and how soon a silent member is given up."""
    options = {
        "gmcast.listen_addr": f"ssl://{node.address}:{GROUP}",
        "ist.recv_addr": f"ssl://{node.address}:{IST}",
        "socket.ssl": "yes",
        "socket.ssl_ca": CONFIGURATION / "ca.crt",
        "socket.ssl_cert": CONFIGURATION / "node.crt",
        "socket.ssl_key": CONFIGURATION / "node.key",
        "gcache.size": f"{gcache}M",
        "gcache.recover": "yes",
        # When all are lost at once, our own rule says who begins, as it does when they were stopped.
        "pc.recovery": "no",
        "evs.keepalive_period": "PT0.5S",
        "evs.inactive_check_period": "PT0.5S",
        "evs.suspect_timeout": "PT2S",
        "evs.inactive_timeout": "PT6S",
    }
    return ";".join(f"{name}={value}" for name, value in options.items())


def keeper_file(flavour: Flavour, cluster: ClusterSpec, node: NodeSpec, *, joining: bool = False) -> NodeFile:
    """What the keeper and the script that starts the server are told. ``joining``: it is not to begin a new cluster."""
    told = {
        **family.common_to_keepers(flavour, cluster, node),
        "speech": flavour.speech,
        "nodes": {member.label: member.address for member in cluster.nodes},
        "joining": joining,
        "domain": flavour.domain,
        "view_file": str(VIEW_FILE),
        "bootstrap_file": str(BOOTSTRAP_FILE),
        "waiting_file": str(flavour.run / "waiting.json"),
        "apart_file": str(apart_file(flavour)),
    }
    return NodeFile(family.KEEPER_FILE, json.dumps(told, indent=1), "0600", USER)
