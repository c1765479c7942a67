"""Which parts of MariaDB's log are replayed, which are missing, and which nobody needs."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from agent.ccx_agent.binlog import Unreadable
from agent.ccx_agent.log_parts import Part, gap, in_store, needless, parse, route
from agent.ccx_agent.mariadb_log import begins_behind, head, number, transactions
from hypothesis import given
from hypothesis import strategies as st

BEGAN = 1_790_000_000


def part(term: int, start: int, last: int, branch: int = 0, *, lacks: int | None = None) -> Part:
    return Part(term, start, last, BEGAN + last, "a" * 40, f"n{term}g1", "binlog.000007", lacks, branch)


def walked(parts: list[Part], after: int, goal: int | None = None) -> list[tuple[int, int, int]]:
    return [(piece.part.term, piece.after, piece.to) for piece in route(parts, after, goal)]


def test_a_parts_name_says_all_of_it() -> None:
    one = part(3, 500, 612)
    assert parse(one.name) == one
    assert parse(one.name, branch=2) == replace(one, branch=2)
    assert parse("backup.info") is None
    apart = part(3, 500, 612, lacks=0)
    assert parse(apart.name) == apart


@pytest.mark.parametrize(("position", "last"), [("", 0), ("0-10001-57", 57), ("0-1-5,9-2-70", 70), ("0-1-7,1-5-3", 7)])
def test_a_position_ends_with_its_last_transaction(position: str, last: int) -> None:
    assert number(position) == last


def test_parts_follow_each_other_from_the_backup_to_the_goal() -> None:
    parts = [part(1, 0, 100), part(1, 100, 200), part(1, 200, 300)]
    assert walked(parts, 150) == [(1, 150, 200), (1, 200, 300)]
    assert walked(parts, 150, 180) == [(1, 150, 180)]
    assert walked(parts, 300) == []


def test_what_a_lost_primary_wrote_alone_is_not_replayed() -> None:
    parts = [part(1, 400, 501), part(2, 450, 600)]
    assert walked(parts, 400) == [(1, 400, 450), (2, 450, 600)]


def test_a_lost_primarys_tail_ends_with_the_next_terms_beginning_though_nothing_was_written_in_it() -> None:
    parts = [part(1, 400, 501), part(2, 450, 500)]
    assert walked(parts, 400) == [(1, 400, 450), (2, 450, 500)]


def test_another_branch_goes_on_where_it_began_whatever_terms_the_former_one_had() -> None:
    parts = [part(5, 0, 900), part(1, 300, 400, branch=1)]
    assert walked(parts, 100) == [(5, 100, 300), (1, 300, 400)]


def test_a_missing_part_ends_the_route_and_is_a_gap() -> None:
    parts = [part(1, 0, 100), part(1, 200, 300)]
    assert walked(parts, 0) == [(1, 0, 100)]
    assert gap(parts, 0)
    assert not gap(parts, 200)
    assert not gap([], 0)


def test_a_lost_primarys_tail_is_not_gone_on_with_by_who_lacks_what_came_in_its_place() -> None:
    """The second term began at 450, say, and stored nothing; the third one's data were copied at 480."""
    parts = [part(1, 0, 501), part(3, 480, 530, lacks=0)]
    assert walked(parts, 100) == [(1, 100, 480)]
    assert walked(parts, 100, 300) == [(1, 100, 300)], "that is of before, by all that is known"
    assert gap(parts, 100)
    assert walked(parts, 480) == [(3, 480, 530)]
    assert not gap(parts, 480)
    assert gap([parts[0], part(3, 480, 480, lacks=0)], 100), "though nothing was written since"
    # The fourth one's reaches back over that place, and yet not to what is certain.
    assert gap([*parts, part(4, 470, 540)], 100)
    assert walked([*parts, part(4, 470, 540)], 475) == [(4, 475, 540)]
    # All of it is there after all.
    assert walked([*parts, part(4, 0, 540)], 100) == [(4, 100, 540)]


def test_what_is_older_than_the_oldest_backup_is_needless_but_for_what_says_which_term_holds() -> None:
    old, marker, lost, newer = part(1, 300, 400), part(2, 450, 500), part(1, 400, 501), part(2, 500, 600)
    assert needless([old, lost, marker], 500) == [old]
    assert needless([old, lost, marker, newer], 520) == [old, lost, marker]


def test_what_a_lost_primary_stored_is_not_taken_for_what_the_next_one_did_not() -> None:
    parts = [part(1, 0, 501), part(2, 400, 470)]
    assert in_store(parts[:1], 2, 450) == 450
    assert in_store(parts, 2, 450) == 470
    assert in_store(parts, 3, 480) == 470, "501 is of a history that ended at 450"
    assert in_store([], 1, 0) == 0


def test_behind_a_term_that_stored_nothing_only_what_the_one_before_began_with_is_certain() -> None:
    """501 may be of a history that the second term ended at 450, and what it has in place of that is not stored."""
    parts = [part(1, 0, 300), part(1, 300, 501)]
    assert in_store(parts, 3, 520) == 0
    assert in_store([*parts, part(2, 400, 510)], 4, 520) == 400
    assert in_store([*parts, part(2, 400, 510)], 4, 390) == 390


@dataclass(frozen=True)
class Term:
    """How far into the history before it a primary goes on, what it writes, and where its files end.

    ``copied``: how much of what it began with came with a copy, so that its log lacks it.

    ``stores``: how many of them, before it is lost: none while the store is away; the last one's primary stores all.
    """

    lost: int
    writes: int
    cuts: tuple[int, ...]
    stores: int
    copied: int = 0


TERMS = st.lists(
    st.builds(
        Term, st.integers(0, 3), st.integers(0, 12), st.lists(st.integers(1, 60), max_size=8).map(tuple),
        st.integers(0, 9), st.just(0) | st.integers(0, 30),
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@given(TERMS, st.data())
def test_after_any_failovers_exactly_the_history_that_holds_is_replayed(terms: list[Term], data: st.DataObject) -> None:
    """A transaction is known by its number and by who wrote it first. Each primary stores what its own log has.

    Where that is too little, nothing else is taken for it.
    """
    history: list[int] = []
    stored: list[tuple[Part, list[int]]] = []
    behind = 0
    for at, one in enumerate(terms, start=1):
        behind = max(behind, len(history) - one.lost)  # nobody leads who lacks what the one before began with
        history = [*history[:behind], *([at] * one.writes)]
        copied = min(one.copied, behind)
        ends = sorted({min(max(cut, copied), len(history)) for cut in one.cuts} | {len(history)})
        reached, marked, left = in_store([p for p, _ in stored], at, behind), False, one.stores
        for begins, last in zip([copied, *ends], ends, strict=False):
            if (left or at == len(terms)) and (last > reached or (not marked and begins <= behind <= last)):
                lacks = reached if stored and begins > reached else None
                stored.append((part(at, begins, last, lacks=lacks), list(history)))
                reached, marked, left = max(reached, last), marked or begins <= behind, left - 1
    after = data.draw(st.integers(0, len(history)))
    replayed: list[int] = []
    for piece in route([p for p, _ in stored], after):
        log = next(log for p, log in stored if p == piece.part)
        replayed += log[piece.after : piece.to]
    kept = [p for p, _ in stored]
    whole = after >= max(one.copied for one in terms)
    assert replayed == history[after:] or (not whole and gap(kept, after))
    assert not (whole and gap(kept, after))
    spared = [p for p in kept if p not in needless(kept, after)]
    assert [(p.part, p.after, p.to) for p in route(spared, after)] == [
        (p.part, p.after, p.to) for p in route(kept, after)
    ]


def log_of(path: Path, listed: Sequence[tuple[int, int, int]], written: Sequence[tuple[int, int, int]]) -> Path:
    """A file as a server writes it: a format, the list of what was before, and transactions, as (domain, server, n).

    Each is of the second after the one before it.
    """

    def event(kind: int, server: int, body: bytes, at: int = 0) -> bytes:
        return struct.pack("<IBIIIH", BEGAN + at, kind, server, 19 + len(body), 0, 0) + body

    entries = b"".join(struct.pack("<IIQ", *one) for one in listed)
    events = [
        event(15, 1, b"\0" * 60),
        event(163, 1, struct.pack("<I", len(listed)) + entries),
        event(161, 1, b"\0" * 8),
    ]
    for domain, server, sequence in written:
        body = struct.pack("<QIB", sequence, domain, 0)
        events += [event(162, server, body, sequence), event(16, server, b"\0" * 8, sequence)]
    path.write_bytes(b"\xfebin" + b"".join(events))
    return path


def test_a_file_begins_behind_what_its_list_says(tmp_path: Path) -> None:
    log = log_of(tmp_path / "binlog.000002", [(0, 10001, 57)], [(0, 10001, 58), (0, 10001, 59)])
    assert (head(log), begins_behind(log)) == (57, 57)
    assert [one.gtid for one in transactions(log)] == ["0-10001-58", "0-10001-59"]


def test_the_first_file_of_a_copy_lists_nothing_and_begins_behind_what_the_copy_had(tmp_path: Path) -> None:
    """Taken for all of the history, it would hide what was written between an older backup and that copy."""
    copied = log_of(tmp_path / "binlog.000001", [], [(0, 10001, 201), (0, 10001, 202)])
    assert head(copied) == 200
    backup_behind, primarys, copys = 100, part(1, 0, 250), part(2, begins_behind(copied), 300)
    assert walked([primarys, copys], backup_behind) == [(1, 100, 200), (2, 200, 300)]
    assert head(log_of(tmp_path / "binlog.000002", [], [])) is None


def test_what_a_member_wrote_for_itself_alone_counts_for_nothing(tmp_path: Path) -> None:
    log = log_of(tmp_path / "binlog.000002", [(1, 1, 57), (2, 1, 900)], [(2, 1, 901), (1, 1, 58), (2, 1, 902)])
    assert (head(log, 1), head(log, 2), head(log, 3)) == (57, 900, None)
    assert [one.gtid for one in transactions(log, 1)] == ["1-1-58"]
    assert (number("1-1-58,2-1-902", 1), number("2-1-902", 1), number("1-1-58,2-1-902")) == (58, 0, 902)


def test_a_file_that_is_being_written_is_not_taken_for_whole(tmp_path: Path) -> None:
    log = log_of(tmp_path / "binlog.000002", [], [(0, 10001, 58)])
    log.write_bytes(log.read_bytes()[:-31])
    with pytest.raises(Unreadable, match="in the middle"):
        head(log)
