"""Which member of a Galera group begins, joins or waits; and which one accepts writes."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from agent.ccx_agent.galera_peers import peer
from agent.ccx_agent.galera_rules import (
    NOTHING,
    PATIENCE,
    Begin,
    Do,
    Peer,
    Position,
    Server,
    Start,
    begin,
    begin_chosen,
    decide,
    donors,
)
from agent.ccx_agent.galera_start import _branched as branched
from agent.ccx_agent.galera_start import _follows as follows
from agent.ccx_agent.galera_start import _keep_log as keep_log
from hypothesis import given
from hypothesis import strategies as st

THREE = ("n1g1", "n2g1", "n3g1")
HISTORY = "804db302-eb6a-11f1-a7a0-3b09b2ee4fe8"
SERVES = Peer(serves=True)


def at(seqno: int, view: tuple[str, ...] = THREE, view_at: int = 1, history: str = HISTORY) -> Position:
    return Position(history, seqno, view, view_at)


def of(me: str, positions: dict[str, Position], *, patient: bool = True, founding: bool = False) -> Start:
    peers = {label: Peer(position=position) for label, position in positions.items() if label != me}
    return begin(me, positions.get(me, Position()), THREE, peers, founding=founding, patient=patient)


def test_where_there_is_a_group_everybody_joins_it() -> None:
    for own in (Position(), at(7), at(10**9)):
        assert begin("n1g1", own, THREE, {"n2g1": SERVES}, founding=True, patient=True).do is Begin.JOIN


def test_a_new_cluster_is_begun_by_its_first_and_by_nobody_else() -> None:
    assert of("n1g1", {}, founding=True).do is Begin.BOOTSTRAP
    assert of("n2g1", {}).do is Begin.WAIT


def test_who_was_first_and_has_no_data_begins_nothing_where_others_have_some() -> None:
    assert of("n1g1", {"n2g1": at(5)}, founding=True).do is Begin.WAIT


def test_when_all_are_lost_the_one_that_has_most_begins_and_the_others_wait_for_it() -> None:
    positions = {"n1g1": at(10), "n2g1": at(12), "n3g1": at(11)}
    assert {label: of(label, positions).do for label in THREE} == {
        "n1g1": Begin.WAIT, "n2g1": Begin.BOOTSTRAP, "n3g1": Begin.WAIT,
    }  # fmt: skip


def test_while_one_of_the_last_group_is_missing_nobody_begins_and_the_reason_has_the_evidence() -> None:
    start = of("n2g1", {"n2g1": at(12), "n3g1": at(11)})
    assert start.do is Begin.WAIT
    assert "no word of n1g1, where acknowledged writes may be" in start.why
    assert f"n2g1 at {HISTORY[:8]}:12" in start.why


def test_who_had_left_before_is_waited_for_a_moment_and_not_for_ever() -> None:
    pair = {"n2g1": at(12, THREE[1:], 9), "n3g1": at(11, THREE[1:], 9)}
    assert of("n2g1", pair, patient=False).do is Begin.WAIT
    assert of("n2g1", pair, patient=True).do is Begin.BOOTSTRAP
    assert of("n2g1", {**pair, "n1g1": at(8, THREE, 1)}, patient=False).do is Begin.BOOTSTRAP


def test_of_a_last_group_without_a_majority_of_the_nodes_nobody_begins_before_all_have_been_heard() -> None:
    last = {"n1g1": at(12, ("n1g1",), 11)}
    assert of("n1g1", last).do is Begin.WAIT
    assert of("n1g1", {**last, "n2g1": at(9, THREE[:2], 9)}).do is Begin.WAIT
    assert of("n1g1", {**last, "n2g1": at(9, THREE[:2], 9), "n3g1": at(8)}).do is Begin.BOOTSTRAP


def test_who_remembers_an_older_group_alone_begins_nothing() -> None:
    assert of("n1g1", {"n1g1": at(8, THREE, 1)}).do is Begin.WAIT


def test_two_histories_are_for_a_person() -> None:
    other = "11111111" + HISTORY[8:]
    start = of("n1g1", {"n1g1": at(8), "n2g1": at(9, history=other), "n3g1": at(8)})
    assert start.do is Begin.WAIT
    assert "two histories" in start.why


def chosen(me: str, peers: dict[str, Peer], own: Position, *, patient: bool = False) -> Start | None:
    return begin_chosen(begin(me, own, THREE, peers, founding=False, patient=True), peers, patient=patient)


def test_whom_a_person_chose_begins_where_nobody_would_by_itself() -> None:
    start = chosen("n2g1", {"n3g1": Peer(position=at(11))}, at(12))
    assert start is not None
    assert start.do is Begin.BOOTSTRAP


def test_whom_a_person_chose_does_not_begin_beside_one_that_starts() -> None:
    """It may be another one that a person chose, or that began by itself a moment before."""
    starting = peer({"serves": False, "running": False, "waiting": None})
    start = chosen("n2g1", {"n1g1": starting}, at(12))
    assert start is not None
    assert (start.do, "if n1g1 does not" in start.why) == (Begin.WAIT, True)
    late = chosen("n2g1", {"n1g1": starting}, at(12), patient=True)
    assert late is not None
    assert late.do is Begin.BOOTSTRAP
    assert chosen("n2g1", {"n1g1": SERVES}, at(12)) is None, "it joins"


def test_what_one_says_that_runs_or_waits_is_not_that_it_starts() -> None:
    waits = {"serves": False, "running": False, "waiting": {"history": HISTORY, "seqno": 1, "view": [], "view_at": 1}}
    assert [peer(one).starts for one in (waits, {"running": True}, {"serves": True}, {"running": False})] == [
        False,
        False,
        False,
        True,
    ]


@given(st.fixed_dictionaries({label: st.integers(0, 2) for label in THREE}), st.sets(st.sampled_from(THREE)))
def test_whom_a_person_chose_and_who_begins_by_itself_never_both_do(seqnos: dict[str, int], picked: set[str]) -> None:
    positions = {label: at(seqno) for label, seqno in seqnos.items()}
    beginners = set()
    for me in THREE:
        peers = {label: Peer(position=position) for label, position in positions.items() if label != me}
        start = begin(me, positions[me], THREE, peers, founding=False, patient=True)
        if me in picked and (by_choice := begin_chosen(start, peers, patient=True)) is not None:
            start = by_choice
        if start.do is Begin.BOOTSTRAP:
            beginners.add(me)
    assert len(beginners) == 1


POSITIONS = st.fixed_dictionaries({label: st.integers(0, 20) for label in THREE})


@given(POSITIONS, st.sets(st.sampled_from(THREE)), st.booleans())
def test_at_most_one_begins_and_only_who_has_everything_of_a_last_group_that_is_all_there(
    seqnos: dict[str, int], answering: set[str], patient: bool
) -> None:
    positions = {label: at(seqnos[label]) for label in answering}
    beginners = [label for label in answering if of(label, positions, patient=patient).do is Begin.BOOTSTRAP]
    assert len(beginners) == (1 if answering == set(THREE) else 0)
    assert all(seqnos[label] == max(seqnos.values()) for label in beginners)


STATES = st.sampled_from(["Synced", "Donor/Desynced", "Joined", "Joining", "Initialized", ""])


def servers() -> st.SearchStrategy[Server]:
    return st.builds(
        Server, running=st.booleans(), writable=st.booleans(), ready=st.booleans(), state=STATES,
        members=st.sets(st.sampled_from(THREE)).map(lambda m: tuple(sorted(m))),
        writer=st.sampled_from([None, *THREE]),
    )  # fmt: skip


@given(st.sampled_from(THREE), servers(), st.floats(0, 60), st.floats(0, 60))
def test_only_who_is_named_and_serves_opens_and_whoever_else_accepts_writes_closes(
    me: str, server: Server, without_writer: float, without_group: float
) -> None:
    do = decide(me, server, without_writer, without_group, ()).do
    named = server.serves and server.writer == me
    assert (do is Do.OPEN) == (named and not server.writable)
    assert (do is Do.CLOSE) == (server.running and server.writable and not named)


MEMBER = Server(ready=True, state="Synced", members=THREE, writer="n1g1")


def test_a_writer_that_is_a_member_is_left_alone_and_one_that_is_gone_is_followed_by_the_best_placed() -> None:
    assert decide("n2g1", MEMBER, 99, 0, ()).do is Do.WAIT
    gone = replace(MEMBER, members=THREE[1:])
    assert decide("n2g1", gone, 0, 0, ()).do is Do.CLAIM
    assert decide("n3g1", gone, 0, 0, ()).do is Do.WAIT
    assert decide("n3g1", gone, PATIENCE, 0, ()).do is Do.CLAIM, "the other may be busy with a copy"


def test_a_server_that_serves_nobody_ends_when_others_can_not_begin_without_it() -> None:
    alone = Server(state="Initialized")
    assert decide("n1g1", alone, 0, 60, ()).do is Do.WAIT, "cut off: its peers may be well"
    assert decide("n1g1", alone, 0, 1, ("n2g1",)).do is Do.WAIT
    assert decide("n1g1", alone, 0, 4, ("n2g1",)).do is Do.END


@pytest.mark.parametrize("writable", [True, False])
def test_a_server_that_its_group_has_put_out_ends_so_that_it_starts_with_other_data(writable: bool) -> None:
    out = Server(state="Inconsistent", writable=writable)
    assert decide("n1g1", out, 0, 0, ()).do is Do.END


@pytest.mark.parametrize("order", list(permutations(THREE)))
def test_a_copy_is_never_taken_from_who_accepts_writes_while_there_is_another(order: tuple[str, ...]) -> None:
    peers = {label: (True, "writer" if label == "n2g1" else "") for label in order}
    assert donors(peers) == (["n1g1", "n3g1"], False)
    assert donors({"n2g1": (True, "writer"), "n3g1": (False, "")}) == (["n2g1"], True)


def test_a_position_of_no_history_is_none() -> None:
    assert not Position(NOTHING, 5).known
    assert not Position("", -1).known
    assert at(0).known


@pytest.mark.parametrize(
    ("own", "joins"),
    [
        (at(7), True),
        (at(12), True),
        (at(13), False),  # it has what the group gave up
        (at(7, history="another"), False),
        (Position(), False),
    ],
)
def test_only_who_has_a_beginning_of_what_the_group_has_is_sent_the_rest(own: Position, joins: bool) -> None:
    serving = [{"history": HISTORY, "committed": 12}, {"history": HISTORY, "committed": 3}]
    assert follows(own, serving) is joins
    assert not follows(own, [{"serves": True}]), "whose history is not known is copied"


def test_where_a_person_chose_who_begins_nobody_of_before_is_sent_only_the_rest() -> None:
    begun = branched(at(7))
    assert (begun.seqno, begun.view, begun.known) == (7, THREE, True)
    group = [{"history": begun.history, "committed": 12}]
    for before in (at(7), at(9)):
        assert not follows(before, group), "it may have what was given up"
    assert follows(begun, group)


def test_who_was_out_of_step_for_a_copy_that_has_ended_is_set_back_whoever_it_is() -> None:
    for writer in ("n1g1", "n2g1"):
        left = Server(ready=True, state="Donor/Desynced", members=THREE, writer=writer, writable=writer == "n1g1")
        assert decide("n1g1", left, 0, 0, ()).do is Do.WAIT
        assert decide("n1g1", replace(left, abandoned=True), 0, 0, ()).do is Do.RESYNC
    first = Server(ready=True, state="Donor/Desynced", members=THREE, writer="n1g1", abandoned=True)
    assert decide("n1g1", first, 0, 0, ()).do is Do.OPEN, "should it fail, it must not keep anybody from writing"
    catches_up = Server(ready=True, state="Joined", members=THREE, writer="n2g1")
    assert catches_up.serves
    assert not replace(catches_up, ready=False).serves, "that one only joins"


def test_who_is_out_of_step_claims_after_all_others() -> None:
    members = ("n1g1", "n2g1")
    lost = Server(ready=True, state="Synced", members=members, writer="n3g1")
    apart = replace(lost, state="Donor/Desynced")
    last = PATIENCE * len(members)
    assert decide("n2g1", lost, last - 0.01, 0, ()).do is Do.CLAIM
    assert decide("n1g1", apart, last - 0.01, 0, ()).do is Do.WAIT
    assert decide("n1g1", apart, last, 0, ()).do is Do.CLAIM


def test_what_a_node_alone_wrote_stays_apart_however_often_it_tries_to_join(tmp_path: Path) -> None:
    told = {"errant": str(tmp_path / "errant"), "binlogs": str(tmp_path / "binlog")}
    logs, kept = tmp_path / "binlog", tmp_path / "errant/binlog.000004"
    logs.mkdir()
    (logs / "binlog.000004").write_text("its own")
    keep_log(told)
    (logs / "binlog.state").write_text("0-10001-57")
    keep_log(told)
    assert kept.read_text() == "its own"
    assert list(logs.iterdir()) == [], "where that copy began is nothing to the next one"
    (logs / "binlog.000001").write_text("of later")
    keep_log(told)
    assert [path.name for path in (tmp_path / "errant").glob("*.0*")] == ["binlog.000001"]
    assert list(logs.iterdir()) == []
