"""New certificates on a node that serves; connections that exist go on.

etcd reads its files at every handshake; the failover manager, and the server through it, when it is told to reload.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from ccx.cmon.etcd.layout import ETCD_CLIENT, carries_etcd
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec
from ccx.cmon.tls import client_context
from ccx.network import Endpoint
from ccx.settings import Settings

_WITHIN_S = 3.0


async def install(channel: NodeChannel, node: NodeSpec, files: Sequence[NodeFile], unit: str, token: int) -> None:
    """Writes the node's certificate and key, and has the manager's ``unit`` read them again."""
    calls = [
        {"verb": "write-files", "args": {"files": [file.to_json() for file in files]}},
        {"verb": "services", "args": {"reload": [unit]}},
    ]
    await channel.call(node, "sequence", {"calls": calls}, token=token, timeout=60)


async def shown(
    settings: Settings, manager: tuple[Endpoint, int], etcd: Endpoint | None, cluster: ClusterSpec, label: str
) -> bool:
    """Whether the manager (its row and port) and etcd on the node show the certificate of the cluster's secrets.

    ``etcd``: None for who needs none. Silence is no.
    """
    ports = [manager]
    if etcd is not None and carries_etcd(cluster, label):
        ports.append((etcd, ETCD_CLIENT))
    wanted = ssl.PEM_cert_to_DER_cert(cluster.secrets.nodes[label].certificate)
    return all([await _certificate(settings, cluster, label, *where) == wanted for where in ports])


async def _certificate(
    settings: Settings, cluster: ClusterSpec, label: str, endpoint: Endpoint, port: int
) -> bytes | None:
    trust = client_context(cluster.secrets.ca, cluster.secrets.control)
    try:
        _, writer = await endpoint.open_connection(
            cluster.node(label).address, settings, port=port, within=_WITHIN_S, ssl=trust
        )
    except OSError:  # of TLS and timeouts, too
        return None
    try:
        shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.close()
