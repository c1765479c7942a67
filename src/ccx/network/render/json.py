"""JSON for machines: ``{"schema", "endpoints": [{...}, ...]}``, as ``plan.schema.json`` describes it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from ccx.network.plan import Plan, Row

SCHEMA = "urn:ccx:network-plan:1"
_MEMBERS = (
    "id", "section", "host", "port", "protocol", "direction", "plane", "service", "purpose", "required", "condition",
    "when_blocked", "mirror", "behind", "source", "status",
)  # fmt: skip
_SOMETIMES = ("path", "pod_port", "via")


def render(plan: Plan) -> str:
    """One object a host and port, in the plan's order."""
    return json.dumps({"schema": SCHEMA, "endpoints": [to_json(row) for row in plan.rows]}, indent=2) + "\n"


def to_json(row: Row) -> dict[str, Any]:
    """The row as plain data; the members that most rows lack only where there are any."""
    members = {name: getattr(row, name) for name in _MEMBERS}
    members["behind"] = list(row.behind)
    return {**members, **{name: value for name in _SOMETIMES if (value := getattr(row, name))}}


def schema() -> dict[str, Any]:
    """The JSON Schema of the output."""
    loaded: dict[str, Any] = json.loads(files("ccx.network.render").joinpath("plan.schema.json").read_text())
    return loaded
