"""OpenStack security group rules, as Neutron's ``POST /v2.0/security-group-rules`` takes them.

They know addresses and no names: a host that ``resolved`` doesn't resolve is allowed by its port, to any address.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ccx.network.kinds import CONTROL_PLANE, NODES, PEERS, Direction, Group, Plane
from ccx.network.plan import Plan, Row
from ccx.network.render.perimeter import Flow, flows, outbound

_NAMES = {Plane.CONTROL: "ccx-control", Plane.DATA: "ccx-nodes"}
_OURS = {NODES: "{ccx-nodes}", PEERS: "{ccx-nodes}", CONTROL_PLANE: "{ccx-control}"}


def render(plan: Plan, *, resolved: Mapping[str, Iterable[str]] | None = None) -> str:
    """JSON: ``security_groups`` to be made first, then ``security_group_rules``.

    ``{ccx-nodes}`` and ``{ccx-control}`` stand for the groups' ids. Remove Neutron's two default egress rules, which
    allow everything.
    """
    rules: list[dict[str, Any]] = []
    for plane, name in _NAMES.items():
        coming = plan.select(plane, direction=Direction.INBOUND)
        rules += _rules(name, "egress", flows(outbound(plan, plane), plan.groups, resolved or {}))
        rules += _rules(name, "ingress", flows(coming, plan.groups, {}))
        rules += _rules(name, "ingress", _from_ours(plan, plane))
    groups = [{"name": n, "description": "CCX, from its network contract"} for n in _NAMES.values()]
    unique = list({json.dumps({**r, "description": ""}): r for r in rules}.values())
    return json.dumps({"security_groups": groups, "security_group_rules": unique}, indent=2) + "\n"


def _from_ours(plan: Plan, plane: Plane) -> Iterator[Flow]:
    """What our own groups let out to this one, it must let in."""
    if plane is Plane.DATA:
        yield from _sent(NODES, (r for r in outbound(plan, Plane.DATA) if r.group is PEERS))
        yield from _sent(CONTROL_PLANE, (r for r in outbound(plan, Plane.CONTROL) if r.group is NODES))
    else:
        yield from _sent(NODES, (r for r in outbound(plan, Plane.DATA) if r.group is CONTROL_PLANE))


def _sent(sender: Group, rows: Iterable[Row]) -> Iterator[Flow]:
    for flow in flows(rows, {}, {}):
        yield Flow(flow.port, flow.transport, flow.peers, sender, flow.rows)


def _rules(name: str, direction: str, found: Iterable[Flow]) -> Iterator[dict[str, Any]]:
    for flow in found:
        rule = {
            "security_group_id": f"{{{name}}}", "direction": direction, "protocol": flow.transport,
            "port_range_min": flow.port, "port_range_max": flow.port, "description": flow.words(),
        }  # fmt: skip
        if flow.group is not None and flow.group in _OURS:
            yield {**rule, "ethertype": "IPv4", "remote_group_id": _OURS[flow.group]}
            continue
        for cidr in flow.peers:
            yield {**rule, "ethertype": "IPv6" if ":" in cidr else "IPv4", "remote_ip_prefix": cidr}
