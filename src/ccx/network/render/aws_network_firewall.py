"""AWS Network Firewall: domain lists, one for the control plane and one for nodes."""

from __future__ import annotations

import json
from typing import Any

from ccx.network.hosts import is_address
from ccx.network.kinds import CONTROL_PLANE, NODES, Plane, Protocol, Status
from ccx.network.plan import Plan, Row
from ccx.network.render.perimeter import web

_SOURCES = {Plane.CONTROL: CONTROL_PLANE, Plane.DATA: NODES}
_TYPES = {Protocol.HTTPS: "TLS_SNI", Protocol.HTTP: "HTTP_HOST"}
# AWS charges capacity by rule and fixes it for good: twice of what is used leaves room for changes.
_ROOM = 2


def render(plan: Plan) -> str:
    """JSON: ``RuleGroups``, each what ``create_rule_group`` takes.

    A list matches the name in TLS's greeting or HTTP's Host header, on whatever port the firewall sends through it.
    """
    groups = [_group(plan, plane, protocol) for plane in _SOURCES for protocol in _TYPES]
    return json.dumps({"RuleGroups": [group for group in groups if group]}, indent=2) + "\n"


def _group(plan: Plan, plane: Plane, protocol: Protocol) -> dict[str, Any] | None:
    rows = [row for row in web(plan, plane) if row.protocol is protocol]
    names = sorted({_target(host) for row in rows for host in row.hosts if not is_address(host)})
    if not names:
        return None
    sources = plan.groups.get(_SOURCES[plane], ())
    variables = {"RuleVariables": {"IPSets": {"HOME_NET": {"Definition": list(sources)}}}} if sources else {}
    listed = {"Targets": names, "TargetTypes": [_TYPES[protocol]], "GeneratedRulesType": "ALLOWLIST"}
    return {
        "RuleGroupName": f"ccx-{plane}-{protocol.value.lower()}", "Type": "STATEFUL",
        "Capacity": max(100, _ROOM * len(names)), "Description": _words(plane, rows),
        "RuleGroup": {**variables, "RulesSource": {"RulesSourceList": listed}},
    }  # fmt: skip


def _target(host: str) -> str:
    """AWS writes "and what is below" with a leading dot."""
    return host.removeprefix("*")


def _words(plane: Plane, rows: list[Row]) -> str:
    planned = len({row.id for row in rows if row.status is Status.PLANNED})
    return f"CCX {plane} plane, from its network contract. {len({r.id for r in rows})} rows, {planned} of them planned."
