"""Why a destination is, or is not, in the plan."""

from __future__ import annotations

from dataclasses import dataclass

from ccx.network import catalogue
from ccx.network.endpoint import Endpoint
from ccx.network.hosts import covers
from ccx.network.page import everything
from ccx.network.plan import Plan, Row, plan
from ccx.network.refusal import nearest


@dataclass(frozen=True)
class Answer:
    """One row that is about the destination."""

    row: Row
    planned: bool
    """Whether it is in the plan; otherwise the row shows what it would be."""
    why: str


def explain(found: Plan, host: str, port: int | None = None) -> tuple[Answer, ...]:
    """The rows of the plan that cover ``host``; else those that other settings would put there. None: nothing does."""
    rows = found.find(host, port)
    if rows:
        return tuple(Answer(row, True, _why(row, host)) for row in rows)
    known = catalogue.load()
    return tuple(
        Answer(row, False, f"needed only when {known[row.id].condition}")
        for row in plan(everything()).find(host, port)
        if row.id in known and not _is_on(known[row.id], found)
    )


def likeliest(found: Plan, host: str, port: int | None) -> str:
    """The id of the declaration that is most like ``host``, which nothing covers; empty when none is."""
    if found.settings is None:
        return ""
    near = nearest(host, port or 0, found.settings, catalogue.load().values())
    return near.id if near else ""


def _is_on(endpoint: Endpoint, found: Plan) -> bool:
    return found.settings is not None and endpoint.needed(found.settings)


def _why(row: Row, host: str) -> str:
    behind = next((name for name in row.behind if covers(name, host)), "")
    reason = f"{row.host} hands out connections to it; " if behind and not covers(row.host, host) else ""
    return f"{reason}needed when {row.condition}" if row.condition != "always" else f"{reason}always needed"
