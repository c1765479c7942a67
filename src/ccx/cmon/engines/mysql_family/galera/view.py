"""From what the members' keepers say to what we say of the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ccx.cmon.engines.mysql_family.view import full_volumes, leader_of
from ccx.cmon.spec import ClusterSpec, ClusterView, MemberView, NodeSpec, Role

PAUSED_BOUND = 0.2
"""Part of the time for which a member that can't follow stops all writes, before we speak of it."""

_IN_STEP = "Synced"

Report = Mapping[str, Any]


def to_view(cluster: ClusterSpec, reports: Mapping[str, Report]) -> ClusterView:
    """``reports``: by label, of the keepers that answered."""
    silent = tuple(sorted(node.label for node in cluster.nodes if node.label not in reports))
    if not reports:
        return ClusterView((), None, silent, (f"no node answers the control plane: {', '.join(silent)}",))
    # Who belongs to no group knows nothing of who accepts writes.
    serving = {label: report for label, report in reports.items() if report.get("serves")}
    writer = leader_of(serving)
    members = tuple(_member(node, reports.get(node.label), writer) for node in cluster.nodes)
    answered = writer if writer in reports else min(serving or reports)
    return ClusterView(members, answered, silent, (*_problems(members, reports, serving), *full_volumes(reports)))


def _member(node: NodeSpec, report: Report | None, writer: str | None) -> MemberView:
    role = Role.PRIMARY if node.label == writer else Role.REPLICA
    if report is None:
        role = role if role is Role.PRIMARY else Role.UNKNOWN
        return MemberView(node.label, role, "silent", node.address, healthy=False)
    serves = bool(report.get("serves"))
    healthy = serves and (role is Role.REPLICA or bool(report.get("writable")))
    state = _state(report)
    if healthy:
        state = "running" if role is Role.PRIMARY else "streaming"
    # One whose data are copied has received every write too, and may be behind in applying them.
    in_step = serves and role is Role.REPLICA and report.get("state") == _IN_STEP
    return MemberView(
        node.label, role, state, node.address, healthy=healthy, synchronous=serves and role is Role.REPLICA,
        lag_bytes=0 if in_step else None, timeline=report.get("term"),
    )  # fmt: skip


def _state(report: Report) -> str:
    if report.get("running"):
        return str(report.get("state") or "no group with a majority").lower()
    if report.get("waiting"):
        return "being copied" if report.get("copied") else "waiting"
    return "starting"


def _problems(
    members: tuple[MemberView, ...], reports: Mapping[str, Report], serving: Mapping[str, Report]
) -> Iterable[str]:
    primary = next((m for m in members if m.role is Role.PRIMARY), None)
    if not serving:
        yield f"no group of members has a majority: nothing is served{_why(reports)}"
    elif primary is None:
        yield f"nobody accepts writes{_why(serving)}"
    elif primary.label not in reports:
        yield f"{primary.label}, the primary, does not answer the control plane"
    elif not primary.healthy:
        why = reports[primary.label].get("note", primary.state)
        yield f"{primary.label}, the primary, does not accept writes: {why}"
    for member in members:
        if member.role is Role.UNKNOWN:
            yield f"{member.label} does not answer the control plane"
        elif member.role is Role.REPLICA and not member.healthy and serving:
            said = reports[member.label].get("err") or reports[member.label].get("note") or member.state
            yield f"{member.label} is not in the group: it is {member.state} ({said})"
        elif member.healthy and reports[member.label].get("paused", 0) > PAUSED_BOUND:
            yield f"writes wait {reports[member.label]['paused']:.0%} of the time for a member that can't follow"
            return


def _why(reports: Mapping[str, Report]) -> str:
    said = sorted({f"{label}: {report['note']}" for label, report in reports.items() if report.get("note")})
    return f" ({'; '.join(said)})" if said else ""
