"""CSV for spreadsheets and change requests: a header, then a line for each host and port."""

from __future__ import annotations

import csv
import io

from ccx.network.plan import Plan
from ccx.network.render.json import to_json

_COLUMNS = (
    "id", "section", "host", "port", "protocol", "direction", "plane", "service", "purpose", "required", "condition",
    "when_blocked", "mirror", "behind", "source", "status", "path",
    "pod_port", "via",
)  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@")


def render(plan: Plan) -> str:
    """RFC 4180 but for the line ends, which are plain newlines. ``behind`` is separated by spaces."""
    output = io.StringIO()
    writer = csv.DictWriter(output, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in plan.rows:
        members = {**to_json(row), "behind": " ".join(row.behind), "required": "yes" if row.required else "no"}
        writer.writerow({name: _cell(value) for name, value in members.items()})
    return output.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
