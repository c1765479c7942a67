"""Markdown for people: a table for each plane, and what each of them is for."""

from __future__ import annotations

from collections.abc import Iterable

from ccx.network.kinds import GROUPS, Plane, Status
from ccx.network.plan import Plan, Row

_PLANES = {
    Plane.CONTROL: ("Control plane", "CCX's own services."),
    Plane.DATA: ("Nodes", "The servers that databases run on."),
    Plane.BROWSER: ("Browsers", "What users' browsers load from elsewhere. No rule on any server."),
    Plane.INSTALL: ("Installing and upgrading", "Not needed at run time."),
    Plane.INTERNAL: ("Between CCX's services", "Nothing to open in an outer firewall."),
}


def render(plan: Plan) -> str:
    """A section for each plane that has rows."""
    sections = [
        _section(title, words, rows) for plane, (title, words) in _PLANES.items() if (rows := plan.select(plane))
    ]
    return "\n".join([*sections, _groups({r.group.name for r in plan.rows if r.group})])


def _section(title: str, words: str, rows: Iterable[Row]) -> str:
    lines = [f"## {title}", "", words, "", "| host | port | direction | who, and what for | when | if blocked |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    return "\n".join([*lines, *(_line(row) for row in rows), ""])


def _line(row: Row) -> str:
    host = f"`{row.host}{row.path}`" + "".join(f"<br>`{name}`" for name in row.behind)
    need = row.condition if row.required else f"{row.condition} (optional)"
    origin = f"§{row.section}" if row.section else "ours"
    planned = " *(planned)*" if row.status is Status.PLANNED else ""
    return "| " + " | ".join(
        _cell(text)
        for text in (
            host, f"{row.port} {row.protocol}", row.direction, f"{row.service}: {row.purpose}{planned}",
            f"{need} ({origin}, `{row.id}`)", row.when_blocked,
        )
    ) + " |"  # fmt: skip


def _groups(used: set[str]) -> str:
    lines = [f"- `{group}`: {group.words}" for group in GROUPS if group.name in used]
    return "\n".join(["## Groups", "", *lines, ""]) if lines else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
