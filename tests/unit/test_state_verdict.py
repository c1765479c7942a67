"""What an observation means for the status that users read."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ccx.cmon.spec import ClusterView, MemberView, Role
from ccx.state.verdict import judge
from ccx.stores.models import Status

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
VALID = {f"n{i}g1": NOW + timedelta(days=300) for i in (1, 2, 3)}


def member(index: int, role: Role = Role.REPLICA, *, healthy: bool = True) -> MemberView:
    return MemberView(f"n{index}g1", role, "streaming", f"10.0.0.{index}", healthy, synchronous=index == 2)


WHOLE = ClusterView((member(1, Role.PRIMARY), member(2), member(3)), answered_by="n1g1")


def test_a_whole_cluster_is_started_without_a_reason() -> None:
    found = judge(WHOLE, size=3, certificates=VALID, now=NOW)
    assert (found.status, found.why) == (Status.STARTED, "")


def test_a_log_that_does_not_get_into_the_store_is_a_reason() -> None:
    found = judge(WHOLE, size=3, certificates=VALID, now=NOW, archive=["the log waits"])
    assert (found.status, found.why) == (Status.DEGRADED, "the log waits")


def test_without_a_primary_it_is_a_failure_that_says_so() -> None:
    view = ClusterView((member(2), member(3)), answered_by="n2g1", unreachable=("n1g1",))
    found = judge(view, size=3, certificates=VALID, now=NOW)
    assert found.status is Status.FAILURE
    assert "no node is primary" in found.why


def test_when_nobody_answers_the_silent_nodes_are_named() -> None:
    view = ClusterView((), answered_by=None, unreachable=("n1g1", "n2g1"))
    found = judge(view, size=2, certificates=VALID, now=NOW)
    assert found.status is Status.FAILURE
    assert "n1g1, n2g1" in found.why


def test_a_reason_that_names_a_silent_node_is_not_repeated() -> None:
    view = ClusterView(
        (member(1, Role.PRIMARY), member(2)), "n1g1", unreachable=("n3g1",), problems=("n3g1 is stopped",)
    )
    assert judge(view, size=3, certificates=VALID, now=NOW).why == "n3g1 is stopped"


def test_a_missing_member_degrades_even_if_nobody_complains() -> None:
    view = ClusterView((member(1, Role.PRIMARY), member(2)), "n1g1")
    found = judge(view, size=3, certificates=VALID, now=NOW)
    assert (found.status, found.why) == (Status.DEGRADED, "2 of 3 nodes serve")


def test_a_certificate_that_expired_is_named_with_its_time() -> None:
    expiries = {**VALID, "n2g1": NOW - timedelta(hours=1)}
    found = judge(WHOLE, size=3, certificates=expiries, now=NOW)
    assert found.status is Status.DEGRADED
    assert found.why == "the certificate of n2g1 expired on 2026-11-24 11:00 UTC"


@given(
    healthy=st.lists(st.booleans(), min_size=3, max_size=3),
    problems=st.lists(st.sampled_from(["n2g1 lags 1 GiB behind", "no synchronous copy exists"]), max_size=2),
    unreachable=st.sets(st.sampled_from(["n1g1", "n2g1", "n3g1"])),
)
def test_started_means_that_nothing_at_all_is_amiss(
    healthy: list[bool], problems: list[str], unreachable: set[str]
) -> None:
    roles = (Role.PRIMARY, Role.REPLICA, Role.REPLICA)
    members = tuple(member(i + 1, roles[i], healthy=healthy[i]) for i in range(3))
    view = ClusterView(members, "n1g1", tuple(sorted(unreachable)), tuple(problems))
    found = judge(view, size=3, certificates=VALID, now=NOW)
    assert (found.status is Status.STARTED) == (all(healthy) and not problems and not unreachable)
    assert (found.why == "") == (found.status is Status.STARTED)


def test_a_primary_that_only_the_control_plane_cant_reach_serves_and_that_is_said() -> None:
    silent = ClusterView(
        (member(1, Role.PRIMARY, healthy=False), member(2), member(3)), "n2g1", ("n1g1",),
        ("n1g1, the primary, does not answer the control plane",),
    )  # fmt: skip

    found = judge(silent, size=3, certificates=VALID, now=NOW, only_we="n1g1")

    assert found.status is Status.DEGRADED
    assert "only the control plane can't reach n1g1: its peers do" in found.why
    assert judge(silent, size=3, certificates=VALID, now=NOW).status is Status.FAILURE


def test_a_cluster_that_only_the_control_plane_cant_reach_at_all_is_unknown_and_not_lost() -> None:
    silent = ClusterView((), None, ("n1g1", "n2g1", "n3g1"))

    found = judge(silent, size=3, certificates=VALID, now=NOW, only_we="n1g1")

    assert found.status is Status.UNKNOWN
    assert "only the control plane can't reach n1g1" in found.why
    assert judge(silent, size=3, certificates=VALID, now=NOW).status is Status.FAILURE


def test_a_first_backup_that_failed_is_a_reason_until_there_is_one_and_a_later_failure_is_not() -> None:
    failed = {"at": "2026-03-01T12:00:00+00:00", "err": "no bucket", "again": "2026-03-01T12:15:00+00:00"}
    found = judge(WHOLE, size=3, certificates=VALID, now=NOW, backup_failed=failed)
    assert found.status is Status.DEGRADED
    assert found.why == (
        "the first backup failed, so nothing can be restored: no bucket; it is tried again at 12:15 UTC"
    )
    assert judge(WHOLE, size=3, certificates=VALID, now=NOW, backup_failed={**failed, "again": None}).why == ""
