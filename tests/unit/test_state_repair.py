"""When a lost node is replaced, when its machine is started again, and when nothing is done."""

from datetime import UTC, datetime, timedelta

from ccx.cmon.spec import ClusterView, MemberView, Role
from ccx.state.fence import majority_lost
from ccx.state.repair import PowerOn, Replace, decide
from ccx.stores.models import Node

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DELAY = timedelta(seconds=300)


def node(index: int, lost_for: int | None = None) -> Node:
    since = None if lost_for is None else NOW - timedelta(seconds=lost_for)
    return Node(index=index, generation=1, lost_since=since)


def view(primary: int | None, *replicas: int) -> ClusterView:
    serving = [MemberView(f"n{i}g1", Role.REPLICA, "streaming", "", healthy=True) for i in replicas]
    if primary is not None:
        serving.append(MemberView(f"n{primary}g1", Role.PRIMARY, "running", "", healthy=True))
    return ClusterView(tuple(serving), "n2g1")


def test_a_node_lost_for_less_than_the_delay_is_left_alone() -> None:
    assert decide(view(2, 3), [node(1, lost_for=299), node(2), node(3)], NOW, DELAY) is None


def test_a_node_lost_for_the_delay_is_replaced_while_a_primary_serves() -> None:
    lost = node(1, lost_for=300)
    assert decide(view(2, 3), [lost, node(2), node(3)], NOW, DELAY) == Replace(lost)


def test_of_two_lost_nodes_the_one_lost_longer_goes_first() -> None:
    earlier = node(3, lost_for=900)
    assert decide(view(2), [node(1, lost_for=400), node(2), earlier], NOW, DELAY) == Replace(earlier)


def test_without_a_primary_nothing_is_given_up_the_machine_is_started_again() -> None:
    only = node(1, lost_for=301)
    assert decide(view(None), [only], NOW, DELAY) == PowerOn((only,))


def test_without_a_primary_machines_are_started_long_before_they_would_be_replaced() -> None:
    lost = node(1, lost_for=30)
    assert decide(view(None, 2), [lost, node(2)], NOW, DELAY) == PowerOn((lost,))
    assert decide(view(None, 2), [node(1, lost_for=29), node(2)], NOW, DELAY) is None
    assert decide(view(None, 2), [lost, node(2)], NOW, timedelta(seconds=31)) == PowerOn((lost,))
    hasty = node(1, lost_for=10)
    assert decide(view(None, 2), [hasty, node(2)], NOW, timedelta(seconds=10)) == PowerOn((hasty,))


def test_without_a_primary_all_are_started_for_the_longest_lost_may_wait_for_anothers_vote() -> None:
    first, second = node(1, lost_for=60), node(2, lost_for=900)
    assert decide(view(None), [first, second], NOW, DELAY) == PowerOn((first, second))


def test_a_node_is_fenced_only_when_more_than_half_of_all_its_peers_lost_it() -> None:
    assert majority_lost({"n2g1": False, "n3g1": False}, peers=2)
    assert not majority_lost({"n2g1": False, "n3g1": True}, peers=2)


def test_a_silent_peer_is_no_vote() -> None:
    assert not majority_lost({"n2g1": False}, peers=2)
    assert not majority_lost({}, peers=0)
