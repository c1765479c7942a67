"""OpenStack security group rules, as Neutron's ``POST /v2.0/security-group-rules`` takes them.

They know addresses and no names: a host that ``resolved`` doesn't resolve is allowed by its port, to any address.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ccx.network.plan import Plan
from ccx.network.render.perimeter import OURS, SECURITY_GROUPS, Flow, admitted, flows, outbound


def render(plan: Plan, *, resolved: Mapping[str, Iterable[str]] | None = None) -> str:
    """JSON: ``security_groups`` to be made first, then ``security_group_rules``.

    ``{ccx-nodes}`` and ``{ccx-control}`` stand for the groups' ids. Remove Neutron's two default egress rules, which
    allow everything.
    """
    rules: list[dict[str, Any]] = []
    for plane, name in SECURITY_GROUPS.items():
        rules += _rules(name, "egress", flows(outbound(plan, plane), plan.groups, resolved or {}))
        rules += _rules(name, "ingress", admitted(plan, plane))
    groups = [{"name": n, "description": "CCX, from its network contract"} for n in SECURITY_GROUPS.values()]
    unique = list({json.dumps({**r, "description": ""}): r for r in rules}.values())
    return json.dumps({"security_groups": groups, "security_group_rules": unique}, indent=2) + "\n"


def _rules(name: str, direction: str, found: Iterable[Flow]) -> Iterator[dict[str, Any]]:
    for flow in found:
        rule = {
            "security_group_id": f"{{{name}}}", "direction": direction, "protocol": flow.transport,
            "port_range_min": flow.port, "port_range_max": flow.port, "description": flow.words(),
        }  # fmt: skip
        if flow.group is not None and flow.group in OURS:
            yield {**rule, "ethertype": "IPv4", "remote_group_id": OURS[flow.group]}
            continue
        for cidr in flow.peers:
            yield {**rule, "ethertype": "IPv6" if ":" in cidr else "IPv4", "remote_ip_prefix": cidr}
