"""Which transactions a file of MySQL's log has, with which numbers, and which were before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent.ccx_agent.binlog import Unreadable
from agent.ccx_agent.mysql_gtid import GtidSet
from agent.ccx_agent.mysql_log import MySqlLog, before
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.mysql_log_files import BEGAN, SERVERS, mysql_log_of, previous

A, B = SERVERS[:2]

SPANS = st.lists(st.tuples(st.integers(1, 2**40), st.integers(0, 2**20)), min_size=1, max_size=4)
SETS = st.dictionaries(
    st.tuples(st.sampled_from(SERVERS), st.sampled_from(["", "", "a", "backup_2", "x" * 32])), SPANS, max_size=5
)


def position(found: dict[tuple[str, str], list[tuple[int, int]]]) -> str:
    return ",".join(
        f"{server}:{f'{tag}:' if tag else ''}" + ":".join(f"{first}-{first + more}" for first, more in spans)
        for (server, tag), spans in found.items()
    )


@given(SETS, st.booleans())
def test_the_set_before_a_file_is_read_as_it_was_written_with_tags_and_without(
    found: dict[tuple[str, str], list[tuple[int, int]]], tagged: bool
) -> None:
    wanted = GtidSet.parse(position(found))
    assert before(previous(wanted, tagged=tagged) + b"\0\0\0\0").spans == wanted.spans


@given(SETS, st.integers(0, 200))
def test_a_set_that_breaks_off_is_not_taken_for_a_smaller_one(
    found: dict[tuple[str, str], list[tuple[int, int]]], cut: int
) -> None:
    whole = previous(GtidSet.parse(position(found)), tagged=False)
    if cut < len(whole):
        with pytest.raises(Unreadable):
            before(whole[:cut])


def test_a_transactions_number_is_its_place_in_the_history_whoever_wrote_it(tmp_path: Path) -> None:
    written = [(f"{B}:1", BEGAN + 1.25), (f"{B}:2", BEGAN + 2), (f"{B}:tag:1", BEGAN + 3.5), (f"{A}:58", BEGAN + 4)]
    file = mysql_log_of(tmp_path / "binlog.000002", f"{A}:1-57", written)
    log = MySqlLog()
    assert (log.head(file), log.ends_with(file)) == (57, 61)
    found = list(log.transactions(file, 57))
    assert [(one.gtid, one.number, one.time) for one in found] == [
        (gtid, number, at) for number, (gtid, at) in enumerate(written, start=58)
    ]


def test_what_came_with_a_copy_was_before_its_log_though_no_file_says_so(tmp_path: Path) -> None:
    """Taken for all of the history, its first file would hide what was written between a backup and the copy."""
    copied = MySqlLog(GtidSet.parse(f"{A}:1-200"))
    first = mysql_log_of(tmp_path / "binlog.000001", "", [(f"{A}:201", BEGAN), (f"{A}:202", BEGAN)])
    second = mysql_log_of(tmp_path / "binlog.000002", f"{A}:201-202", [(f"{B}:1", BEGAN)])
    assert [(copied.head(one), copied.ends_with(one)) for one in (first, second)] == [(200, 202), (202, 203)]
    # The first one is removed: what it had, the server says then that its log has no more.
    assert MySqlLog(GtidSet.parse(f"{A}:1-202")).head(second) == 202


def test_a_file_that_is_being_written_is_not_taken_for_whole(tmp_path: Path) -> None:
    file = mysql_log_of(tmp_path / "binlog.000002", f"{A}:1-57", [(f"{A}:58", BEGAN)])
    whole = file.read_bytes()
    for cut in (4, 30, 130, 150):
        file.write_bytes(whole[:cut])
        with pytest.raises(Unreadable):
            MySqlLog().head(file)
    file.write_bytes(whole[:-40])
    with pytest.raises(Unreadable, match="in the middle"):
        MySqlLog().ends_with(file)


def test_positions_are_counted_and_compared_as_sets() -> None:
    log = MySqlLog()
    assert [log.number(one) for one in ("", f"{A}:1-57", f"{A}:1-57:59,\n{B}:1-2")] == [0, 57, 60]
    assert log.has(f"{A}:1-57,{B}:1-2", f"{B}:2")
    assert not log.has(f"{A}:1-57", f"{B}:2")
    assert log.place(f"{B}:2") is None, "that is for the log to say"


def test_a_moment_is_met_to_the_microsecond_by_when_a_transaction_was_first_committed(tmp_path: Path) -> None:
    """What a replica took over later says both."""
    file = mysql_log_of(tmp_path / "binlog.000001", "", [(f"{A}:1", BEGAN + 0.75)])
    content = bytearray(file.read_bytes())
    at = content.index(int((BEGAN + 0.75) * 1e6).to_bytes(7, "little"))
    later = (int((BEGAN + 9) * 1e6) | 1 << 55).to_bytes(7, "little")
    # As long as before: the second time lies where the length of the transaction was.
    content[at : at + 14] = later + int((BEGAN + 0.25) * 1e6).to_bytes(7, "little")
    file.write_bytes(bytes(content))
    (one,) = MySqlLog().transactions(file, 0)
    assert one.time == BEGAN + 0.25
    assert MySqlLog().too_late(BEGAN + 0.25) <= one.time < MySqlLog().too_late(BEGAN + 0.250001)
