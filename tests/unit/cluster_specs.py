"""Cluster specifications for tests of pure functions."""

from __future__ import annotations

from ccx.cmon.spec import ClusterSecrets, ClusterSpec, KeyPair, NodeSpec


def node(label: str, address: str | None = None) -> NodeSpec:
    place = int(label[1:].split("g")[0])
    return NodeSpec(
        id=f"id-{label}", label=label, hostname=f"{label}.abc.db.example.net",
        address=address or f"192.0.2.{place}", host_key="ssh-ed25519 AAAA",
    )  # fmt: skip


def cluster(*labels: str, memory_mib: int = 2048, cpus: int = 2) -> ClusterSpec:
    nodes = tuple(node(label) for label in labels)
    secrets = ClusterSecrets(
        superuser="pw-superuser", replication="pw-replication", rewind="pw-rewind", admin="pw-admin", ca="the CA",
        nodes={n.label: KeyPair(f"certificate of {n.label}", f"KEY of {n.label}") for n in nodes},
        control=KeyPair("certificate of control", "KEY of control"),
    )  # fmt: skip
    return ClusterSpec(
        id="id-cluster", short_id="abc", vendor="postgres", version="17", cluster_type="postgres_streaming",
        nodes=nodes, primary_name="abc.db.example.net", replicas_name="ro.abc.db.example.net", memory_mib=memory_mib,
        cpus=cpus, admin_user="ccxadmin", admin_database="defaultdb", client_sources=("198.51.100.0/24",),
        secrets=secrets,
    )  # fmt: skip
