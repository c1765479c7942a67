"""What a keeper decides, case by case; and that no order of events loses an acknowledged write."""

from __future__ import annotations

from dataclasses import replace

import pytest
from agent.ccx_agent.keeper_rules import Do, Report, Seen, Server, Term, decide
from agent.ccx_agent.labels import place
from hypothesis import given
from hypothesis import strategies as st

NODES = {"n1g1": "10.0.0.1", "n2g1": "10.0.0.2", "n3g1": "10.0.0.3"}
TERM = Term(4, "n1g1", 100)
REPLICA = Server(received=120, applied=120, source=NODES["n1g1"], receiving=True, applying=True)
FROZEN = {"n2g1": Report(4, 120), "n3g1": Report(4, 118)}


def seen(me: str, leader: str | None = None, **more: object) -> Seen:
    return replace(Seen(me=me, nodes=NODES, leader=leader, term=TERM), **more)  # type: ignore[arg-type]


def test_the_first_primary_of_a_new_cluster_is_the_first_node_and_no_other() -> None:
    fresh = Server()
    assert decide(fresh, seen("n1g1", term=None)).do is Do.STAND
    assert decide(fresh, seen("n2g1", term=None)).do is Do.WAIT


def test_who_leads_accepts_writes_once_everything_is_applied() -> None:
    behind = replace(REPLICA, applied=110)
    assert decide(behind, seen("n2g1", "n2g1")).do is Do.WAIT
    assert decide(replace(behind, applying=False), seen("n2g1", "n2g1")).do is Do.APPLY
    assert decide(REPLICA, seen("n2g1", "n2g1")).do is Do.PROMOTE
    assert decide(Server(writable=True, received=120, applied=120), seen("n2g1", "n2g1")).do is Do.WAIT


@pytest.mark.parametrize("leader", [None, "n2g1"])
def test_who_accepts_writes_and_does_not_lead_is_fenced(leader: str | None) -> None:
    assert decide(Server(writable=True), seen("n1g1", leader)).do is Do.FENCE


@pytest.mark.parametrize("leader", [None, "n2g1"])
def test_who_is_silent_is_fenced_if_it_accepted_writes_and_does_not_lead(leader: str | None) -> None:
    """While a write waits for a replica, a server may answer no question, and goes on waiting for ever."""
    silent = Server(running=False, writable=True)
    assert decide(silent, seen("n1g1", leader)).do is Do.FENCE
    assert decide(silent, seen("n1g1", "n1g1")).do is Do.WAIT
    assert decide(Server(running=False), seen("n1g1", leader)).do is Do.WAIT


def test_a_replica_follows_whoever_leads_and_gives_its_data_up_when_its_history_is_another() -> None:
    assert decide(REPLICA, seen("n2g1", "n1g1")).do is Do.WAIT
    assert decide(REPLICA, seen("n2g1", "n3g1")).do is Do.FOLLOW
    assert decide(replace(REPLICA, receiving=False), seen("n2g1", "n1g1")).do is Do.FOLLOW
    assert decide(replace(REPLICA, stuck="diverged"), seen("n2g1", "n1g1")).do is Do.REBUILD
    assert decide(replace(REPLICA, stuck="diverged"), seen("n2g1", "n3g1")).do is Do.FOLLOW, "another leader may do"


def test_who_has_what_its_leader_has_not_gives_its_data_up_before_it_follows() -> None:
    """It would be taken for a copy of writes that it is about to lose."""
    old = Server(received=120, applied=120, errant="3e11fa47:121-125")
    assert decide(old, seen("n1g1", "n2g1")).do is Do.REBUILD
    assert decide(replace(REPLICA, errant="3e11fa47:121"), seen("n3g1", "n2g1")).do is Do.REBUILD
    assert decide(replace(old, errant=""), seen("n1g1", "n2g1")).do is Do.FOLLOW


def test_a_replica_receives_no_more_before_it_may_stand() -> None:
    assert decide(REPLICA, seen("n2g1")).do is Do.FREEZE
    assert decide(REPLICA, seen("n2g1", frozen={"n2g1": Report(3, 120)})).do is Do.FREEZE, "that was in another term"


def test_the_replica_with_the_most_stands_when_all_that_may_have_acknowledged_are_heard() -> None:
    assert decide(REPLICA, seen("n2g1", frozen=FROZEN)).do is Do.STAND
    assert decide(REPLICA, seen("n3g1", frozen=FROZEN)).do is Do.WAIT
    alone = decide(REPLICA, seen("n2g1", frozen={"n2g1": FROZEN["n2g1"]}))
    assert (alone.do, "n3g1" in alone.why) == (Do.WAIT, True)


def test_nobody_stands_who_has_not_what_the_last_term_began_with() -> None:
    lost = {"n2g1": Report(4, 90), "n3g1": Report(4, 80)}
    assert decide(replace(REPLICA, received=90, applied=90), seen("n2g1", frozen=lost)).do is Do.WAIT


def test_who_led_last_takes_up_its_work_again() -> None:
    assert decide(Server(received=121, applied=121), seen("n1g1")).do is Do.STAND
    assert decide(Server(received=99, applied=99), seen("n1g1")).do is not Do.STAND, "its data are gone"


def test_of_two_nodes_none_takes_over_by_itself_but_when_it_is_asked_to() -> None:
    two = {label: NODES[label] for label in ("n1g1", "n2g1")}
    frozen = {"n2g1": Report(4, 120)}
    assert decide(REPLICA, seen("n2g1", nodes=two, frozen=frozen)).do is Do.WAIT
    assert decide(REPLICA, seen("n2g1", nodes=two, frozen=frozen, hand_to="n2g1")).do is Do.STAND
    lacks = decide(REPLICA, seen("n2g1", nodes=two, frozen=frozen, hand_to="n2g1", handed=121))
    assert (lacks.do, "acknowledged writes that are not here" in lacks.why) == (Do.WAIT, True)
    assert decide(Server(received=121, applied=121), seen("n1g1", nodes=two, handed=121)).do is Do.STAND, "again"
    left = {"n2g1": NODES["n2g1"]}
    assert decide(REPLICA, seen("n2g1", nodes=left, frozen=frozen, handed=121)).do is Do.STAND, "the other was given up"


def test_the_leadership_is_handed_to_whom_it_was_meant_for() -> None:
    equal = {"n2g1": Report(4, 120), "n3g1": Report(4, 120)}
    former = Server(received=120, applied=120)
    assert decide(former, seen("n1g1", hand_to="n3g1")).do is Do.FREEZE
    assert decide(REPLICA, seen("n3g1", frozen=equal, hand_to="n3g1")).do is Do.STAND
    assert decide(REPLICA, seen("n2g1", frozen=equal, hand_to="n3g1")).do is Do.WAIT


def test_who_is_no_member_any_more_does_not_stand() -> None:
    left = {label: NODES[label] for label in ("n2g1", "n3g1")}
    assert decide(Server(received=150, applied=150), seen("n1g1", nodes=left)).do is Do.WAIT


def test_nodes_are_ordered_by_place_not_by_letters() -> None:
    assert sorted(["n10g1", "n2g1", "n2g10", "n2g9"], key=place) == ["n2g1", "n2g9", "n2g10", "n10g1"]


@given(
    received=st.dictionaries(st.sampled_from(["n2g1", "n3g1"]), st.integers(90, 130)),
    acknowledged=st.integers(100, 130),
    holder=st.sampled_from(["n2g1", "n3g1"]),
    terms=st.dictionaries(st.sampled_from(["n2g1", "n3g1"]), st.sampled_from([3, 4])),
)
def test_whoever_stands_has_every_acknowledged_write(
    received: dict[str, int], acknowledged: int, holder: str, terms: dict[str, int]
) -> None:
    """A write is acknowledged when one replica has it. Reports may be missing, or be of an earlier term."""
    received = {"n2g1": 100, "n3g1": 100} | received
    received[holder] = max(received[holder], acknowledged)
    frozen = {label: Report(term, received[label] if term == 4 else 0) for label, term in terms.items()}
    for me in ("n2g1", "n3g1"):
        server = replace(REPLICA, received=received[me], applied=received[me])
        if decide(server, seen(me, frozen=frozen)).do is Do.STAND:
            assert received[me] >= acknowledged
