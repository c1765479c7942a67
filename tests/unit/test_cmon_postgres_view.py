"""What we say of a cluster, from what Patroni says."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.cluster_specs import cluster

from ccx.cmon.engines.postgres.view import ENTRIES_BEHIND, LAG_BOUND, most_credible, to_view
from ccx.cmon.etcd.client import Standing
from ccx.cmon.spec import ClusterView, Role

SPEC = cluster("n1g1", "n2g1", "n3g1")


def _report(**changes: dict[str, Any] | None) -> dict[str, Any]:
    members = {
        "n1g1": {"role": "leader", "state": "running", "timeline": 1},
        "n2g1": {"role": "quorum_standby", "state": "streaming", "lag": 0, "timeline": 1},
        "n3g1": {"role": "quorum_standby", "state": "streaming", "lag": 0, "timeline": 1},
    }
    for label, change in changes.items():
        if change is None:
            del members[label]
        else:
            members[label] = {**members[label], **change}
    return {"members": [{"name": label, **entry} for label, entry in members.items()]}


def test_a_whole_cluster_has_no_problems() -> None:
    view = to_view(SPEC, _report(), "n2g1", [])
    assert view.problems == ()
    assert view.primary is not None
    assert view.primary.label == "n1g1"
    assert [m.label for m in view.replicas if m.synchronous] == ["n2g1", "n3g1"]
    assert ClusterView.from_json(view.to_json()) == view


@pytest.mark.parametrize(
    ("changes", "unreachable", "said"),
    [
        ({"n1g1": {"role": "replica", "state": "running"}}, [], "there is no primary"),
        ({"n1g1": {"state": "starting"}}, [], "n1g1, the primary, does not accept writes: PostgreSQL is starting"),
        ({}, ["n1g1"], "n1g1, the primary, does not answer the control plane"),
        ({}, ["n3g1"], "n3g1 does not answer the control plane"),
        ({"n3g1": None}, [], "n3g1 is not running"),
        ({"n3g1": {"state": "running"}}, [], "n3g1 does not stream from the primary: PostgreSQL is running"),
        ({"n1g1": {"timeline": 2}, "n2g1": {"timeline": 2}}, [], "n3g1 is still on timeline 1"),
        ({"n3g1": {"lag": LAG_BOUND + 2**20}}, [], "n3g1 is 33 MiB behind the primary"),
        ({"n2g1": {"role": "replica"}, "n3g1": {"role": "replica"}}, [], "there is no synchronous copy"),
        ({"n2g1": {"state": "stopped"}, "n3g1": {"role": "replica"}}, [], "there is no synchronous copy"),
    ],
)
def test_what_is_amiss_is_named(changes: dict[str, Any], unreachable: list[str], said: str) -> None:
    view = to_view(SPEC, _report(**changes), "n2g1", unreachable)
    assert any(said in problem for problem in view.problems), view.problems


FOLLOWS = Standing(has_leader=True, applied=100)


@pytest.mark.parametrize(
    ("third", "said"),
    [
        (None, "etcd on n3g1 does not answer: until it does, writes stop if another node is lost"),
        (Standing(has_leader=False, applied=100), "etcd on n3g1 has not caught up with the others"),
        (Standing(has_leader=True, applied=100 - ENTRIES_BEHIND - 1), "etcd on n3g1 has not caught up"),
    ],
)
def test_a_member_of_etcd_that_does_not_follow_is_named(third: Standing | None, said: str) -> None:
    etcd = {"n1g1": FOLLOWS, "n2g1": FOLLOWS, "n3g1": third}
    (problem,) = to_view(SPEC, _report(), "n1g1", [], etcd).problems
    assert said in problem


@pytest.mark.parametrize(
    "etcd",
    [
        {"n1g1": FOLLOWS, "n2g1": FOLLOWS, "n3g1": Standing(has_leader=True, applied=100 - ENTRIES_BEHIND)},
        {"n1g1": None, "n2g1": None, "n3g1": None},
    ],
    ids=["all follow", "none answers us, so that nothing is known of them"],
)
def test_etcd_is_no_problem_where(etcd: dict[str, Standing | None]) -> None:
    assert to_view(SPEC, _report(), "n1g1", [], etcd).problems == ()


def test_a_node_that_is_silent_altogether_is_not_blamed_for_its_etcd_too() -> None:
    problems = to_view(SPEC, _report(), "n1g1", ["n3g1"], {"n1g1": FOLLOWS, "n3g1": None}).problems
    assert problems == ("n3g1 does not answer the control plane",)


def test_a_leader_that_does_not_answer_itself_is_not_taken_for_a_primary_that_serves() -> None:
    view = to_view(SPEC, _report(), "n2g1", ["n1g1"])
    assert view.primary is None
    assert view.members[0].role is Role.PRIMARY


def test_a_cluster_that_nobody_answers_for_is_an_observation_too() -> None:
    view = to_view(SPEC, None, None, ["n3g1", "n1g1", "n2g1"])
    assert view.answered_by is None
    assert view.problems == ("no node answers the control plane: n1g1, n2g1, n3g1",)


def test_a_lag_that_is_unknown_and_a_node_alone_are_no_problem() -> None:
    assert to_view(SPEC, _report(n3g1={"lag": "unknown"}), "n1g1", []).problems == ()
    alone = {"members": [{"name": "n1g1", "role": "leader", "state": "running"}]}
    assert to_view(cluster("n1g1"), alone, "n1g1", []).problems == ()


def _led_by(label: str, timeline: int) -> dict[str, Any]:
    report = _report(n1g1={"role": "replica", "state": "streaming"})
    for entry in report["members"]:
        entry["timeline"] = timeline
        if entry["name"] == label:
            entry["role"] = "leader"
    return report


def test_of_three_reports_the_one_that_most_agree_with_is_believed() -> None:
    reports = {"n1g1": _led_by("n1g1", 1), "n2g1": _led_by("n2g1", 2), "n3g1": _led_by("n2g1", 2)}
    assert most_credible(reports) in ("n2g1", "n3g1")


def test_of_two_reports_the_one_of_the_newer_timeline_is_believed() -> None:
    assert most_credible({"n1g1": _led_by("n1g1", 1), "n2g1": _led_by("n2g1", 2)}) == "n2g1"
    assert most_credible({"n2g1": _led_by("n2g1", 2), "n1g1": _led_by("n1g1", 1)}) == "n2g1"


def test_while_two_know_of_no_leader_a_third_ones_memory_of_its_own_rule_counts_for_nothing() -> None:
    leaderless = _report(n1g1={"role": "replica", "state": "running"})
    reports = {"n1g1": _led_by("n1g1", 1), "n2g1": leaderless, "n3g1": leaderless}
    assert most_credible(reports) in ("n2g1", "n3g1")


def test_no_report_is_believed_where_there_is_none() -> None:
    assert most_credible({}) is None
