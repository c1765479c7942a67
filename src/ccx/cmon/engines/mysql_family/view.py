"""From what the keepers say to what we say of the cluster: what is true, and what is amiss in a user's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ccx.cmon.etcd import standing
from ccx.cmon.etcd.client import Standing
from ccx.cmon.spec import ClusterSpec, ClusterView, MemberView, NodeSpec, Role

LAG_BOUND = 32 * 1024 * 1024
"""Bytes of the log that a replica may be behind before we speak of it."""

ENTRIES_BEHIND = 40
"""Entries of etcd's log that a member may be behind before we speak of it. Keepers write a few in a second."""

FULL_BELOW = 0.02
"""Part of a volume that is free, below which we speak of it."""

Report = Mapping[str, Any]


def to_view(
    cluster: ClusterSpec,
    reports: Mapping[str, Report],
    etcd: Mapping[str, Standing | None] = MappingProxyType({}),
) -> ClusterView:
    """``reports``: by label, of the keepers that answered. ``etcd``: by node's label."""
    silent = tuple(sorted(node.label for node in cluster.nodes if node.label not in reports))
    if not reports:
        return ClusterView((), None, silent, (f"no node answers the control plane: {', '.join(silent)}",))
    leader = leader_of(reports)
    leading = reports.get(leader or "")
    members = tuple(_member(node, reports.get(node.label), leader, leading) for node in cluster.nodes)
    answered = leader if leader in reports else min(reports)
    problems = [
        *_problems(cluster, members, reports, silent), *full_volumes(reports),
        *standing.problems(etcd, silent, ENTRIES_BEHIND),
    ]  # fmt: skip
    return ClusterView(members, answered, silent, tuple(problems))


def leader_of(reports: Mapping[str, Report]) -> str | None:
    """Who leads: of the newest term, what most say. Who says of itself that it leads, and writes, is believed first."""
    newest = max((report.get("term", 0) for report in reports.values()), default=0)
    current = {label: report.get("leader") for label, report in reports.items() if report.get("term", 0) == newest}
    for label, named in current.items():
        if named == label and reports[label].get("writable"):
            return label
    votes = Counter(named for named in current.values() if named)
    return votes.most_common(1)[0][0] if votes else None


def _member(node: NodeSpec, report: Report | None, leader: str | None, leading: Report | None) -> MemberView:
    if report is None:
        role = Role.PRIMARY if node.label == leader else Role.UNKNOWN
        return MemberView(node.label, role, "silent", node.address, healthy=False)
    if node.label == leader:
        serves = bool(report.get("running") and report.get("writable"))
        return MemberView(
            node.label, Role.PRIMARY, "running" if serves else _state(report), node.address, healthy=serves,
            timeline=report.get("term"), errant=tuple(report.get("errant", ())),
        )  # fmt: skip
    follows = bool(report.get("connected") and report.get("applying"))
    return MemberView(
        label=node.label,
        role=Role.REPLICA,
        state="streaming" if follows else _state(report),
        address=node.address,
        healthy=follows and leading is not None and report.get("leader") == leader,
        synchronous=follows and bool(report.get("synchronous")),
        lag_bytes=_lag(report, leading) if follows else None,
        timeline=report.get("term"),
        errant=tuple(report.get("errant", ())),
    )


def _state(report: Report) -> str:
    if not report.get("running"):
        return "being copied" if report.get("copied") else "starting"
    return "read-only"


def _lag(report: Report, leading: Report | None) -> int | None:
    """Bytes behind, where both are in the same file of the log, or nothing is to come; else not known at a glance."""
    if leading is None or not report.get("file"):
        return None
    if report["file"] != leading.get("file"):
        return 0 if report.get("applied", 0) >= leading.get("applied", float("inf")) else None
    return max(0, int(leading.get("position", 0)) - int(report.get("position", 0)))


def _problems(
    cluster: ClusterSpec, members: tuple[MemberView, ...], reports: Mapping[str, Report], silent: tuple[str, ...]
) -> Iterable[str]:
    primary = next((m for m in members if m.role is Role.PRIMARY), None)
    if primary is None:
        yield f"there is no primary: no writes are accepted{_why(reports)}"
    elif primary.label in silent:
        yield f"{primary.label}, the primary, does not answer the control plane"
    elif not primary.healthy:
        why = reports[primary.label].get("note", "no word why")
        yield f"{primary.label}, the primary, does not accept writes: {why}"
    for member in members:
        if member.role is Role.UNKNOWN:
            yield f"{member.label} does not answer the control plane"
        elif member.role is Role.REPLICA and not member.healthy:
            said = reports[member.label].get("err") or reports[member.label].get("note") or member.state
            yield f"{member.label} does not stream from the primary: it is {member.state} ({said})"
        elif member.lag_bytes is not None and member.lag_bytes > LAG_BOUND:
            yield f"{member.label} is {member.lag_bytes // 2**20} MiB behind the primary"
    if len(cluster.nodes) > 1 and primary is not None and not any(m.synchronous and m.healthy for m in members):
        yield "there is no synchronous copy: a failure of the primary now could lose writes, or writes wait"


def full_volumes(reports: Mapping[str, Report]) -> Iterable[str]:
    """Of each node on whose volume no room is left."""
    for label, report in sorted(reports.items()):
        if (room := report.get("room")) and room["free"] < FULL_BELOW * room["size"]:
            left, size = (room[what] // 2**20 for what in ("free", "size"))
            yield f"the volume of {label} is full: {left} of {size} MiB are left, and writes wait or fail"


def _why(reports: Mapping[str, Report]) -> str:
    said = sorted({f"{label}: {report['note']}" for label, report in reports.items() if report.get("note")})
    return f" ({'; '.join(said)})" if said else ""
