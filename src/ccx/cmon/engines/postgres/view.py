"""From Patroni's report of a cluster to what we say of it: what is true, and what is amiss in a user's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from ccx.cmon.etcd import standing
from ccx.cmon.etcd.client import Standing
from ccx.cmon.spec import ClusterSpec, ClusterView, MemberView, Role

LAG_BOUND = 32 * 1024 * 1024
"""Bytes that a replica may be behind before we speak of it."""

ENTRIES_BEHIND = 20
"""Entries of etcd's log that a member may be behind before we speak of it. Patroni writes a few in ten seconds."""

_LEADING = {"leader", "master", "primary"}
_SYNCHRONOUS = {"sync_standby", "quorum_standby"}


def to_view(
    cluster: ClusterSpec,
    report: Mapping[str, Any] | None,
    answered_by: str | None,
    unreachable: Iterable[str],
    etcd: Mapping[str, Standing | None] = MappingProxyType({}),
) -> ClusterView:
    """``report``: a member's answer to ``GET /cluster``; None when no member answered. ``etcd``: by node's label."""
    silent = tuple(sorted(unreachable))
    if report is None:
        return ClusterView((), None, silent, (f"no node answers the control plane: {', '.join(silent)}",))
    reported = {entry["name"]: entry for entry in report["members"]}
    timeline = next((entry.get("timeline") for entry in report["members"] if entry["role"] in _LEADING), None)
    members = tuple(
        _member(node.label, node.address, reported.get(node.label), silent, timeline) for node in cluster.nodes
    )
    problems = [*_problems(cluster, members, silent), *standing.problems(etcd, silent, ENTRIES_BEHIND)]
    return ClusterView(members, answered_by, silent, tuple(problems))


def most_credible(reports: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The label of the node whose report is believed: it says of the leader what most say, else what is newest.

    A node that was cut off answers from its cache at first, and tells of a time when it still led.
    """
    led = {label: leader_of(report) for label, report in reports.items()}
    votes = Counter(led.values())
    newest = {label: _timeline(report) for label, report in reports.items()}
    return max(reports, key=lambda label: (votes[led[label]], newest[label]), default=None)


def leader_of(report: Mapping[str, Any]) -> str | None:
    """Who leads, by this report."""
    return next((entry["name"] for entry in report["members"] if entry["role"] in _LEADING), None)


def _timeline(report: Mapping[str, Any]) -> int:
    timelines = [entry.get("timeline") for entry in report["members"]]
    return max((t for t in timelines if isinstance(t, int)), default=0)


def _member(
    label: str, address: str, entry: Mapping[str, Any] | None, silent: tuple[str, ...], leading: int | None
) -> MemberView:
    """``leading``: the leader's timeline."""
    if entry is None:
        return MemberView(label, Role.UNKNOWN, "absent", address, healthy=False)
    role = Role.PRIMARY if entry["role"] in _LEADING else Role.REPLICA
    state = str(entry.get("state", "unknown"))
    lag = entry.get("lag")
    # The leader key outlives a dead leader by its lease: we call it a primary that serves only if it answers itself.
    # And a former primary streams for a moment, until it finds that its history is not the new one's.
    follows = leading is None or entry.get("timeline", leading) == leading
    serves = state == "running" and label not in silent if role is Role.PRIMARY else state == "streaming" and follows
    return MemberView(
        label=label,
        role=role,
        state=state,
        address=str(entry.get("host", address)),
        healthy=serves,
        synchronous=entry["role"] in _SYNCHRONOUS,
        lag_bytes=lag if isinstance(lag, int) else None,
        timeline=entry.get("timeline"),
    )


def _problems(cluster: ClusterSpec, members: tuple[MemberView, ...], silent: tuple[str, ...]) -> Iterable[str]:
    primary = next((m for m in members if m.role is Role.PRIMARY), None)
    if primary is None:
        yield "there is no primary: no writes are accepted"
    elif primary.label in silent:
        yield f"{primary.label}, the primary, does not answer the control plane"
    elif not primary.healthy:
        yield f"{primary.label}, the primary, does not accept writes: PostgreSQL is {primary.state}"
    for member in members:
        if member.role is Role.UNKNOWN:
            yield f"{member.label} is not running: the cluster has no word from it"
        elif member.role is Role.REPLICA and not member.healthy and member.state == "streaming":
            yield f"{member.label} is still on timeline {member.timeline}, which the primary has left"
        elif member.role is Role.REPLICA and not member.healthy:
            yield f"{member.label} does not stream from the primary: PostgreSQL is {member.state}"
        elif member.lag_bytes is not None and member.lag_bytes > LAG_BOUND:
            yield f"{member.label} is {member.lag_bytes // 2**20} MiB behind the primary"
        if member.label in silent and member.role is Role.REPLICA:
            yield f"{member.label} does not answer the control plane"
    if len(cluster.nodes) > 1 and primary is not None and not any(m.synchronous and m.healthy for m in members):
        yield "there is no synchronous copy: a failure of the primary now could lose writes, or writes wait"
