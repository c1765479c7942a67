"""AWS security groups, one for the control plane and one for nodes, as the EC2 API takes them.

They know addresses and no names: a host that ``resolved`` doesn't resolve is allowed by its port, to any address.
Narrow it with a proxy or with the ``aws-network-firewall`` format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ccx.network.plan import Plan
from ccx.network.render.perimeter import OURS, SECURITY_GROUPS, Flow, admitted, flows, outbound

_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9. _:/()#,@\[\]+=&;{}!$*-]")


def render(plan: Plan, *, resolved: Mapping[str, Iterable[str]] | None = None) -> str:
    """JSON: for each group what ``create_security_group`` and ``authorize_security_group_*`` take.

    ``{ccx-nodes}`` and ``{ccx-control}`` stand for the groups' own ids, which AWS gives when they are made.
    """
    groups = []
    for plane, name in SECURITY_GROUPS.items():
        leaving = flows(outbound(plan, plane), plan.groups, resolved or {})
        groups.append({
            "GroupName": name, "Description": f"CCX {plane} plane, from its network contract",
            "IpPermissions": [_permission(f) for f in admitted(plan, plane)],
            "IpPermissionsEgress": [_permission(f) for f in leaving],
        })  # fmt: skip
    return json.dumps({"SecurityGroups": groups}, indent=2) + "\n"


def _permission(flow: Flow) -> dict[str, Any]:
    words = _NOT_ALLOWED.sub("-", flow.words())
    permission: dict[str, Any] = {"IpProtocol": flow.transport, "FromPort": flow.port, "ToPort": flow.port}
    if flow.group in OURS and flow.group is not None:
        permission["UserIdGroupPairs"] = [{"GroupId": OURS[flow.group], "Description": words}]
        return permission
    v4 = [{"CidrIp": cidr, "Description": words} for cidr in flow.peers if ":" not in cidr]
    v6 = [{"CidrIpv6": cidr, "Description": words} for cidr in flow.peers if ":" in cidr]
    return permission | ({"IpRanges": v4} if v4 else {}) | ({"Ipv6Ranges": v6} if v6 else {})
