"""When nobody may begin a group again without a person: what each node has, and which decisions can be carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ccx.cmon.engines.base import Remains
from ccx.cmon.spec import ClusterSpec
from ccx.errors import Conflict, Invalid

Report = Mapping[str, Any]

_NOTHING = "00000000-0000-0000-0000-000000000000"
"""The history of a node that has none, in Galera's words."""


def remains(cluster: ClusterSpec, reports: Mapping[str, Report]) -> tuple[Remains, ...]:
    """``reports``: by label, of the keepers that answered."""
    return tuple(_of(node.label, reports.get(node.label)) for node in cluster.nodes)


def _of(label: str, report: Report | None) -> Remains:
    if report is None:
        return Remains(label)
    waiting = report.get("waiting") or {}
    # A server that runs and belongs to no group says itself how far it goes; one that waits, by what starts it.
    history = str(waiting.get("history") or report.get("history") or "")
    position = int(waiting["seqno"] if "seqno" in waiting else report.get("committed", -1))
    return Remains(
        label,
        answers=True,
        serves=bool(report.get("serves")),
        history="" if history == _NOTHING else history,
        position=position,
        last_group=tuple(waiting.get("view") or report.get("members") or ()),
        note=str(report.get("note", "")),
    )


def check_begun(reports: Mapping[str, Report], label: str, history: str) -> None:
    """Raises unless a group that serves is the one that was decided on: that has a ``history`` of its own.

    Where none serves yet, nothing is known: it may still begin.
    """
    serving = sorted(name for name, report in reports.items() if report.get("serves"))
    if any(reports[name].get("history") == history for name in serving):
        raise Conflict(
            f"{', '.join(serving)} went on without a decision in the same moment, and {label} joins",
            remedy="Nothing is given up, and there is nothing to decide: ccx datastore show",
        )


def check(found: Sequence[Remains], label: str) -> None:
    """Raises unless a person may decide that the group goes on with that node's data."""
    known = ", ".join(node.in_words() for node in found)
    one = next((node for node in found if node.label == label), None)
    if one is None:
        there = ", ".join(node.label for node in found)
        raise Invalid(f"there is no node {label!r}", field="node", remedy=f"Choose one of {there}")
    if serving := [node.label for node in found if node.serves]:
        raise Conflict(
            f"there is nothing to decide: {', '.join(serving)} serve",
            remedy="The others join them by themselves: ccx datastore show",
        )
    if not one.answers or not one.history:
        why = "has no data that are whole" if one.answers else "does not answer"
        raise Conflict(f"{label} {why}; {known}", remedy="Choose one that has data, or wait for it")
    ahead = [node for node in found if node.history == one.history and node.position > one.position]
    if ahead:
        most = max(ahead, key=lambda node: node.position).label
        raise Conflict(f"{most} has everything that {label} has, and more; {known}", remedy=f"Choose {most}")
