"""What keepers say to each server of the family, and what the answers mean; sets of transactions."""

from __future__ import annotations

import pytest
from agent.ccx_agent.keeper_rules import Server, Term
from agent.ccx_agent.mysql_dialect import Following, MariaDb, MySql, Source, dialect
from agent.ccx_agent.mysql_gtid import GtidSet, in_term
from hypothesis import given
from hypothesis import strategies as st

A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "ef13d383-eb90-11f1-9d40-e66f2e3648ec"
SOURCE = Source("10.0.0.2", "ccx_replication", "it's", {"ca": "/c", "certificate": "/d", "key": "/k"})
RENAMED = ("slave", "master", "reset master")


@pytest.mark.parametrize("version", ["8.0.30", "8.0.46-37", "8.4.11-11", "9.7.4-2"])
def test_mysql_and_percona_are_spoken_to_in_words_that_all_their_versions_know(version: str) -> None:
    """Those of before 8.0 are refused from 8.4 on: none may be left in anything that is said."""
    spoken = dialect(version)
    assert isinstance(spoken, MySql)
    said = [
        spoken.state, spoken.following, spoken.stop_receiving, spoken.start_applying, spoken.start, spoken.hold,
        spoken.open, *spoken.renew_tls, *spoken.semi_sync.values(), *spoken.lead(semi_sync=True),
        *spoken.follow(SOURCE, copied="", led=True),
    ]  # fmt: skip
    assert not [words for words in said for old in RENAMED if old in words.lower()]


@pytest.mark.parametrize("version", ["8.0.29", "5.7.44", "nonsense"])
def test_an_older_server_is_refused_with_the_oldest_that_will_do(version: str) -> None:
    with pytest.raises(ValueError, match=r"8\.0\.30"):
        dialect(version)


def test_mariadb_is_known_by_its_version_and_keeps_its_words() -> None:
    spoken = dialect("11.8.9-MariaDB-deb13-log")
    assert isinstance(spoken, MariaDb)
    assert "change master to" in spoken.follow(SOURCE, copied="", led=False)[1]
    assert "Rpl_semi_sync_master_status" in spoken.semi_sync.values()


def test_a_change_of_source_verifies_it_and_quotes_what_it_is_told() -> None:
    (change,) = [words for words in MySql().follow(SOURCE, copied="", led=False) if words.startswith("change")]
    for part in ("source_ssl_verify_server_cert = 1", "source_auto_position = 1", "source_password = 'it''s'"):
        assert part in change


def test_a_primary_that_follows_again_goes_on_from_its_own_last_transaction() -> None:
    """MySQL's data say so by themselves; MariaDB has to be told, unless a copy says where to begin."""
    assert any("master_demote_to_slave" in words for words in MariaDb().follow(SOURCE, copied="", led=True))
    copied = MariaDb().follow(SOURCE, copied="0-1-7", led=True)
    assert "set global gtid_slave_pos = '0-1-7'" in copied
    assert not any("demote" in words for words in copied)


@pytest.mark.parametrize(
    ("spoken", "source", "replica"), [(MariaDb(), "Master", "Slave"), (MySql(), "Source", "Replica")]
)
def test_both_statuses_are_read_into_the_same_words(spoken: MariaDb | MySql, source: str, replica: str) -> None:
    row = {
        f"{source}_Host": "10.0.0.2", f"{replica}_IO_Running": "Connecting", f"{replica}_SQL_Running": "Yes",
        f"Relay_{source}_Log_File": "binlog.000004", f"Exec_{source}_Log_Pos": "815", "Gtid_IO_Pos": "x",
        "Retrieved_Gtid_Set": "x", "Last_SQL_Errno": "0",
    }  # fmt: skip
    found = spoken.read(row)
    assert (found.source, found.connected, found.receiving, found.applying) == ("10.0.0.2", False, True, True)
    assert (found.file, found.position, found.received, found.stuck) == ("binlog.000004", 815, "x", "")
    assert spoken.read({}) == Following()


@pytest.mark.parametrize(
    ("found", "stuck"),
    [
        (Following(receive_error=(1236, "Error: connecting slave requested to start from GTID 0-1-7")), True),
        (Following(receive_error=(13114, "Got fatal error 1236: the source purged … The GTID set sent is")), True),
        (Following(receive_error=(2003, "can't connect")), False),
        (Following(apply_error=(1062, "Duplicate entry")), True),
    ],
)
def test_what_no_waiting_cures_is_told_from_what_may_pass(found: Following, stuck: bool) -> None:
    assert bool(found.stuck) is stuck


def test_what_mysql_has_received_counts_whether_it_is_applied_or_not() -> None:
    state = {"executed": f"{A}:1-5", "origin": B.upper()}
    at = MySql().position(state, Following(received=f"{A}:4-8"))
    assert (at.received, at.applied, at.history, at.origin) == (8, 5, f"{A}:1-8", B)


def test_a_set_is_read_as_servers_write_it_with_tags_too() -> None:
    text = f"{A}:1-3:5,\n{A}:backup:1-2,{B}:7"
    found = GtidSet.parse(text)
    assert (len(found), str(found)) == (7, f"{A}:1-3:5,{A}:backup:1-2,{B}:7")
    assert str(GtidSet.parse(f"{A}:1:backup:4:6")) == f"{A}:1,{A}:backup:4:6"
    assert str(GtidSet.parse("")) == ""
    assert str(found.without(A)) == f"{B}:7"
    with pytest.raises(ValueError, match="invalid literal"):
        GtidSet.parse(f"{A}:1-x")


NUMBERS = st.dictionaries(st.sampled_from([A, B]), st.sets(st.integers(1, 40)))


def _set(numbers: dict[str, set[int]]) -> GtidSet:
    return GtidSet.parse(",".join(f"{name}:{':'.join(map(str, of))}" for name, of in numbers.items() if of))


def _pairs(numbers: dict[str, set[int]]) -> set[tuple[str, int]]:
    return {(name, number) for name, of in numbers.items() for number in of}


@given(one=NUMBERS, other=NUMBERS)
def test_sets_add_and_subtract_as_sets_do(one: dict[str, set[int]], other: dict[str, set[int]]) -> None:
    a, b = _pairs(one), _pairs(other)
    for found, wanted in ((_set(one) | _set(other), a | b), (_set(one) - _set(other), a - b)):
        assert len(found) == len(wanted)
        assert found == GtidSet.parse(str(found))
        pairs = {
            (name, n) for name, spans in found.spans.items() for first, last in spans for n in range(first, last + 1)
        }
        assert pairs == wanted


TERM = Term(2, "n2g1", 8, history=f"{A}:1-8", origin=B)


def test_who_followed_in_a_term_has_its_beginning_and_what_its_primary_wrote_since() -> None:
    replica = Server(received=11, applied=10, history=f"{A}:1-8,{B}:1-3", origin=A)
    assert in_term(replica, TERM) == replica
    assert in_term(replica, None) == replica


def test_what_an_old_primary_alone_has_is_errant_and_does_not_make_it_the_one_with_most() -> None:
    """Ten transactions of which the new primary knows eight, against a replica with nine that count."""
    old = in_term(Server(received=10, applied=10, history=f"{A}:1-10", origin=A), TERM)
    assert (old.errant, old.received, old.applied) == (f"{A}:9-10", 8, 8)


@pytest.mark.parametrize("passes", [1021, 1114, 1205])
def test_a_volume_without_room_is_no_reason_to_copy_everything_once_more(passes: int) -> None:
    assert Following(apply_error=(passes, "no room, or a lock")).stuck == ""


@pytest.mark.parametrize(("written", "own"), [("", False), ("0-10001-7", True), ("0-20001-7", False)])
def test_who_took_the_last_transaction_itself_may_have_what_nobody_else_has(written: str, own: bool) -> None:
    state = {"written": written, "applied": "0-20001-7", "id": "10001"}
    assert MariaDb().position(state, Following()).own is own


def test_a_log_that_begins_later_is_told_from_another_history() -> None:
    words = "Could not find GTID state requested by slave … required binlog files have been purged."
    assert Following(receive_error=(1236, words)).purged
    assert not Following(receive_error=(1236, "requested to start from GTID 0-1-7, which is not in the …")).purged
