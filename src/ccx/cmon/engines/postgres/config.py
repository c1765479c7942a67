"""Everything that is written to a node: pure functions from the cluster's specification to files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

import yaml

from ccx.cmon.backup import archiving, restoring
from ccx.cmon.engines.postgres import tuning
from ccx.cmon.engines.postgres.layout import (
    CONFIGURATION,
    PATRONI,
    POSTGRES,
    REPLICATION_USER,
    REWIND_USER,
    data_directory,
)
from ccx.cmon.engines.postgres.units import UNITS
from ccx.cmon.etcd import files as etcd_files
from ccx.cmon.etcd.layout import ETCD_CLIENT, NAMESPACE, carries_etcd, client_url, etcd_members, peer_url
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, NodeSpec

SOCKET = "/run/postgresql"

PATIENT_ISREADY = f"{CONFIGURATION}/pg_isready"
# Patroni asks right after it started PostgreSQL, and then not again for a second. This one waits for the answer.
_PATIENT_ISREADY = """#!/bin/sh
# Like pg_isready, but waits up to 0.8 s for a server that is just starting.
for _ in 1 2 3 4 5 6 7 8; do
    answer=$({bin}/pg_isready "$@")
    code=$?
    [ $code -eq 0 ] && break
    sleep 0.1
done
echo "$answer"
exit $code
"""


def node_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    """All files of a node. An etcd that was initialised already ignores what they say of the initial cluster."""
    node = cluster.node(label)
    files = [
        *tls_files(cluster, label),
        NodeFile(f"{CONFIGURATION}/patroni.yml", patroni_yaml(cluster, node), "0600", "postgres"),
        NodeFile(f"{CONFIGURATION}/etcd-ready.json", _etcd_ready(cluster), "0644"),
        NodeFile(PATIENT_ISREADY, _PATIENT_ISREADY.format(bin=f"/usr/lib/postgresql/{cluster.version}/bin"), "0755"),
        *(NodeFile(f"/etc/systemd/system/{name}", text) for name, text in UNITS.items()),
    ]
    if carries_etcd(cluster, label):
        initial = {member.label: peer_url(member) for member in etcd_members(cluster.nodes)}
        files.append(etcd_files.etcd_environment(cluster, node, initial))
    return files


def tls_files(cluster: ClusterSpec, label: str) -> list[NodeFile]:
    """The node's certificate, key and CA, for each who reads them."""
    files = etcd_files.tls_files(cluster, label, CONFIGURATION, "postgres")
    if carries_etcd(cluster, label):
        files += etcd_files.tls_files(cluster, label)
    return files


def _etcd_ready(cluster: ClusterSpec) -> str:
    args = {
        "endpoints": [client_url(member) for member in etcd_members(cluster.nodes)],
        "ca": f"{CONFIGURATION}/ca.crt",
        "certificate": f"{CONFIGURATION}/node.crt",
        "key": f"{CONFIGURATION}/node.key",
        "limit": 100,
    }
    return json.dumps({"args": args})


def patroni_yaml(cluster: ClusterSpec, node: NodeSpec) -> str:
    """Patroni's own file. What must be the same on all members is in :func:`dynamic`, from the first start on."""
    secrets = cluster.secrets
    tls = {"cafile": "ca.crt", "certfile": "node.crt", "keyfile": "node.key"}
    files = {name: f"{CONFIGURATION}/{file}" for name, file in tls.items()}
    verify = {"sslmode": "verify-full", "sslrootcert": files["cafile"]}
    config: dict[str, Any] = {
        "scope": cluster.short_id,
        "namespace": NAMESPACE,
        "name": node.label,
        "restapi": {
            "listen": f"{node.address}:{PATRONI}",
            "connect_address": f"{node.address}:{PATRONI}",
            "verify_client": "required",
            **files,
        },
        "ctl": {"cacert": files["cafile"], "certfile": files["certfile"], "keyfile": files["keyfile"]},
        "etcd3": {
            "hosts": [f"{member.address}:{ETCD_CLIENT}" for member in etcd_members(cluster.nodes)],
            "protocol": "https",
            "cacert": files["cafile"],
            "cert": files["certfile"],
            "key": files["keyfile"],
        },
        "bootstrap": {
            "dcs": dynamic(cluster),
            "initdb": [
                {"encoding": "UTF8"},
                {"locale-provider": "builtin"},
                {"builtin-locale": "C.UTF-8"},
                {"locale": "C.UTF-8"},
                "data-checksums",
            ],
            **(restoring.bootstrap(cluster.origin) if cluster.origin is not None else {}),
        },
        "postgresql": {
            "listen": f"{node.address},127.0.0.1:{POSTGRES}",
            "connect_address": f"{node.address}:{POSTGRES}",
            "data_dir": str(data_directory(cluster.version)),
            "bin_dir": f"/usr/lib/postgresql/{cluster.version}/bin",
            "bin_name": {"pg_isready": PATIENT_ISREADY},
            "pgpass": "/run/ccx-patroni/pgpass",
            "use_unix_socket": True,
            "use_unix_socket_repl": True,
            "authentication": {
                "superuser": {"username": "postgres", "password": secrets.superuser},
                "replication": {"username": REPLICATION_USER, "password": secrets.replication, **verify},
                "rewind": {"username": REWIND_USER, "password": secrets.rewind, **verify},
            },
            "basebackup": [{"checkpoint": "fast"}],
            "parameters": {
                **tuning.own(cluster.memory_mib, cluster.cpus),
                "unix_socket_directories": SOCKET,
                "ssl": "on",
                "ssl_ca_file": files["cafile"],
                "ssl_cert_file": files["certfile"],
                "ssl_key_file": files["keyfile"],
                "ssl_min_protocol_version": "TLSv1.2",
            },
        },
        "watchdog": {"mode": "off"},
        "log": {"level": "INFO"},
    }
    return yaml.safe_dump(config, sort_keys=False)


def dynamic(cluster: ClusterSpec) -> dict[str, Any]:
    """The configuration that the cluster keeps in etcd: changed there, it reaches all members at once.

    From three nodes on, synchronous mode is strict: writes wait rather than go on without a second copy. With two,
    losing the replica must not stop the primary.
    """
    size = len(cluster.nodes)
    # What goes on from its own datastore's backup has to be in the store from its first moment on.
    archived = cluster.origin is not None and cluster.backup is not None and cluster.branch > 0
    archive = archiving.parameters(cluster) if archived else {"archive_command": "/bin/true"}
    return {
        "ttl": 20,
        "loop_wait": 1,
        "retry_timeout": 3,
        "maximum_lag_on_failover": 16 * 1024 * 1024,
        "synchronous_mode": "quorum" if size >= 3 else size == 2,
        "synchronous_mode_strict": size >= 3,
        "synchronous_node_count": 1,
        # A member that is away keeps its place in the log this long, then has to be copied anew.
        "member_slots_ttl": "10min",
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "pg_hba": access_list(cluster.nodes, cluster.client_sources),
            "parameters": {
                **tuning.shared(cluster.memory_mib, cluster.cpus),
                "max_slot_wal_keep_size": "2GB",
                # The mode can't be turned on without a restart; the command decides whether anything is kept.
                "archive_mode": "on",
                **archive,
            },
        },
    }


def access_list(nodes: Iterable[NodeSpec], sources: Iterable[str]) -> list[str]:
    """``pg_hba.conf``: members by their addresses, clients from their sources; over TLS, with SCRAM; nobody else."""
    lines = [
        "local all postgres peer",
        f"local replication {REPLICATION_USER} scram-sha-256",
        f"local all {REWIND_USER} scram-sha-256",
    ]
    for address in ["127.0.0.1", *sorted({node.address for node in nodes})]:
        network = f"{address}/{ip_address(address).max_prefixlen}"
        lines += [
            f"hostssl replication {REPLICATION_USER} {network} scram-sha-256",
            f"hostssl postgres {REWIND_USER} {network} scram-sha-256",
        ]
    own = f"postgres,{REPLICATION_USER},{REWIND_USER}"
    lines += [f"host all {own} 0.0.0.0/0 reject", f"host all {own} ::/0 reject"]
    lines += [f"hostssl all all {ip_network(source, strict=False)} scram-sha-256" for source in sources]
    return lines
