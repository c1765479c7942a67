"""Kubernetes NetworkPolicies for the namespace that CCX runs in: everything denied but for the plan.

They know addresses and no names: a host that ``resolved`` doesn't resolve is allowed by its port, to any address, and
the policy's annotation says so. A proxy (``egress_proxy``, and the ``squid`` format on it) closes that gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ccx.network.kinds import RESOLVER, Direction, Mirror, Plane
from ccx.network.plan import Plan, Row
from ccx.network.render.perimeter import Flow, flows, outbound

# libyaml's where PyYAML has it: ten times faster.
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def render(plan: Plan, *, namespace: str = "ccx", resolved: Mapping[str, Iterable[str]] | None = None) -> str:
    """YAML documents for ``kubectl apply``. ``resolved``: addresses or networks of hosts known by name."""
    leaving = [row for row in outbound(plan, Plane.CONTROL) if row.group is not RESOLVER and not _is_the_hosts(row)]
    coming = plan.select(Plane.CONTROL, direction=Direction.INBOUND)
    inside = plan.select(Plane.INTERNAL)
    out = list(flows(leaving, plan.groups, resolved or {}, _pod_port))
    policies = [
        _policy("ccx-deny", namespace, {"policyTypes": ["Ingress", "Egress"]}, {}),
        _policy("ccx-dns", namespace, {"policyTypes": ["Egress"], "egress": [_dns(plan)]}, {}),
        _policy("ccx-internal", namespace, _internal(inside), _notes(inside)),
    ]
    if coming:
        rules = [_rule(flow, "from") for flow in flows(coming, plan.groups, {}, _pod_port)]
        policies.append(
            _policy("ccx-ingress", namespace, {"policyTypes": ["Ingress"], "ingress": rules}, _notes(coming))
        )
    if out:
        notes = _notes(leaving)
        if wide := [flow for flow in out if not flow.is_exact]:
            notes["ccx/any-address"] = "; ".join(
                f"{flow.port}: {', '.join(sorted({host for row in flow.rows for host in row.hosts}))}" for flow in wide
            )
        rules = [_rule(flow, "to") for flow in out]
        policies.append(_policy("ccx-egress", namespace, {"policyTypes": ["Egress"], "egress": rules}, notes))
    return yaml.dump_all(policies, Dumper=_DUMPER, sort_keys=False, width=120, explicit_start=True)


def _is_the_hosts(row: Row) -> bool:
    """Whether the cluster's machines connect and not a pod: policies don't apply to them, and would only be wider."""
    return row.mirror is Mirror.IMAGE_REGISTRY or row.service == "the cluster's nodes"


def _pod_port(row: Row) -> int:
    return row.pod_port or row.port


def _policy(name: str, namespace: str, spec: dict[str, Any], annotations: dict[str, str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata,
        "spec": {"podSelector": {}, **spec},
    }  # fmt: skip


def _dns(plan: Plan) -> dict[str, Any]:
    cluster = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    known = [{"ipBlock": {"cidr": cidr}} for flow in flows(
        [r for r in outbound(plan, Plane.CONTROL) if r.group is RESOLVER], plan.groups, {}
    ) if flow.is_exact for cidr in flow.peers]  # fmt: skip
    unique = list({str(peer): peer for peer in [cluster, *known]}.values())
    return {"to": unique, "ports": [{"protocol": name, "port": 53} for name in ("UDP", "TCP")]}


def _internal(rows: Iterable[Row]) -> dict[str, Any]:
    ports = sorted({(row.protocol.transport.upper(), _pod_port(row)) for row in rows})
    rule = [{"protocol": protocol, "port": port} for protocol, port in ports]
    return {
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": rule}],
        "egress": [{"to": [{"podSelector": {}}], "ports": rule}],
    }


def _rule(flow: Flow, way: str) -> dict[str, Any]:
    return {
        way: [{"ipBlock": {"cidr": cidr}} for cidr in flow.peers],
        "ports": [{"protocol": flow.transport.upper(), "port": flow.port}],
    }


def _notes(rows: Iterable[Row]) -> dict[str, str]:
    notes: dict[str, str] = {}
    for status in ("built", "planned"):
        if ids := sorted({row.id for row in rows if row.status == status}):
            notes[f"ccx/{status}"] = ", ".join(ids)
    return notes
