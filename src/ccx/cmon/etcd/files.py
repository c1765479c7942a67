"""What an etcd member has on its node: settings, certificate, unit."""

from __future__ import annotations

from pathlib import PurePosixPath

from ccx.cmon.etcd.layout import DATA, ETCD_CONFIGURATION, client_url, peer_url
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec

# Started again for ever: systemd gives up a unit that fails five times in a row, and nobody would start it then.
UNIT_TEXT = f"""[Unit]
Description=CCX: etcd member
After=network.target
RequiresMountsFor={DATA}
StartLimitIntervalSec=0

[Service]
Type=notify
User=etcd
EnvironmentFile={ETCD_CONFIGURATION}/etcd.env
ExecStart=/usr/bin/etcd
Restart=always
RestartSec=1
TimeoutStartSec=90
LimitNOFILE=65536
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
"""


def tls_files(
    cluster: ClusterSpec, label: str, folder: PurePosixPath = ETCD_CONFIGURATION, owner: str = "etcd"
) -> list[NodeFile]:
    """The node's certificate, key and CA, for whoever reads them in that folder."""
    pair = cluster.secrets.nodes[label]
    return [
        NodeFile(f"{folder}/ca.crt", cluster.secrets.ca),
        NodeFile(f"{folder}/node.crt", pair.certificate),
        NodeFile(f"{folder}/node.key", pair.key, "0600", owner),
    ]


def etcd_environment(
    cluster: ClusterSpec, node: NodeSpec, initial: dict[str, str], *, joining: bool = False
) -> NodeFile:
    """etcd's settings. ``initial``: peer URLs by label, of all members at its first start."""
    tls = {"CERT_FILE": "node.crt", "KEY_FILE": "node.key", "TRUSTED_CA_FILE": "ca.crt"}
    settings = {
        "NAME": node.label,
        "DATA_DIR": f"{DATA}/etcd/data",
        "LISTEN_CLIENT_URLS": client_url(node),
        "ADVERTISE_CLIENT_URLS": client_url(node),
        "LISTEN_PEER_URLS": peer_url(node),
        "INITIAL_ADVERTISE_PEER_URLS": peer_url(node),
        "INITIAL_CLUSTER": ",".join(f"{label}={url}" for label, url in initial.items()),
        "INITIAL_CLUSTER_STATE": "existing" if joining else "new",
        "INITIAL_CLUSTER_TOKEN": f"ccx-{cluster.short_id}",
        "CLIENT_CERT_AUTH": "true",
        "PEER_CLIENT_CERT_AUTH": "true",
        **{name: f"{ETCD_CONFIGURATION}/{file}" for name, file in tls.items()},
        **{f"PEER_{name}": f"{ETCD_CONFIGURATION}/{file}" for name, file in tls.items()},
        "TLS_MIN_VERSION": "TLS1.2",
        "HEARTBEAT_INTERVAL": "50",
        "ELECTION_TIMEOUT": "500",
        "AUTO_COMPACTION_MODE": "periodic",
        "AUTO_COMPACTION_RETENTION": "30m",
        "LOG_LEVEL": "warn",
    }
    text = "".join(f"ETCD_{name}={value}\n" for name, value in settings.items())
    return NodeFile(f"{ETCD_CONFIGURATION}/etcd.env", text)
