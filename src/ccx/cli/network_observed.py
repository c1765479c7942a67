"""``ccx network observed``: what was really connected to, against the contract."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ccx.cli.exits import Exit
from ccx.cli.options import DEFAULT, Common, Output
from ccx.errors import Invalid

if TYPE_CHECKING:
    from ccx.cli.output import Column

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 30 * 86400


def observed(
    *,
    since: Annotated[str, Parameter(help="How far back: 90s, 10m, 1h, 7d; at most 30d.")] = "1h",
    node: Annotated[str, Parameter(help="Only this node, by host name or label; or control-plane.")] = "",
    common: Common = DEFAULT,
) -> int:
    """List what control plane and nodes really connected to, and what the contract says of it (operators).

    Asks every kernel now. Refused attempts are shown with the node and the systemd unit (or user) that made them. Ends
    with 1 when something is not declared, refused or not.

    Try:
      ccx network observed
      ccx network observed --since 7d --node n1g1
      ccx network observed --output json
    """
    from ccx.cli import output

    with common.api() as api:
        answer = api.get("/admin/network/observed", since=_seconds(since), **({"node": node} if node else {}))
    found = answer["connections"]
    if common.output is not Output.TABLE:
        output.document(answer, common.output)
    else:
        output.rows([*found, *map(_unused, answer["unused"])], _COLUMNS, common.output, empty="Nothing was seen.")
    for blind in answer["blind"]:
        output.say(f"warning: {blind['source']} could not be asked now: {blind['why']}")
    counts = Counter(connection["verdict"] for connection in found)
    output.say(
        f"{counts['declared']} declared and used, {len(answer['unused'])} declared and unused, "
        f"{counts['undeclared']} undeclared, {counts['refused']} refused, {counts['blocked']} declared and refused"
    )
    return Exit.FAILED if counts["undeclared"] or counts["refused"] else Exit.OK


def _who(connection: dict[str, Any]) -> str:
    if "units" not in connection:
        return ""
    return ", ".join(connection["units"]) or f"user {connection['user']}"


def _unused(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "verdict": "unused",
        "source": row["plane"],
        "rows": [row["id"]],
        **row,
        "protocol": row["protocol"].lower(),
    }


_COLUMNS: list[Column] = [
    ("VERDICT", "verdict"),
    ("FROM", "source"),
    ("UNIT", lambda c: _who(dict(c))),
    ("ADDRESS", "address"),
    ("PORT", "port"),
    ("PROTOCOL", "protocol"),
    ("HOST", "host"),
    ("COUNT", "count"),
    ("LAST", lambda c: _when(c.get("last_seen"))),
    ("DECLARED AS", "rows"),
]


def _when(timestamp: str | None) -> str:
    from ccx.cli.output import age

    return age(timestamp)


def _seconds(text: str) -> int:
    matched = re.fullmatch(r"(\d+)([smhd])", text)
    seconds = int(matched[1]) * _UNITS[matched[2]] if matched else 0
    if not 0 < seconds <= _LONGEST:
        raise Invalid(
            f"{text!r} is no time to look back", field="since", remedy="Write 90s, 10m, 1h or 7d; at most 30d"
        )
    return seconds
