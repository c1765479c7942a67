"""Which parts of MariaDB's log are replayed, which are missing, and which nobody needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from agent.ccx_agent.mariadb_log import Part, gap, needless, number, parse, route
from hypothesis import given
from hypothesis import strategies as st


def part(term: int, start: int, last: int, branch: int = 0) -> Part:
    return Part(term, start, last, 1_790_000_000 + last, "a" * 40, f"n{term}g1", "binlog.000007", branch)


def walked(parts: list[Part], after: int, goal: int | None = None) -> list[tuple[int, int, int]]:
    return [(piece.part.term, piece.after, piece.to) for piece in route(parts, after, goal)]


def test_a_parts_name_says_all_of_it() -> None:
    one = part(3, 500, 612)
    assert parse(one.name) == one
    assert parse(one.name, branch=2) == replace(one, branch=2)
    assert parse("backup.info") is None


@pytest.mark.parametrize(("position", "last"), [("", 0), ("0-10001-57", 57), ("0-1-5,9-2-70", 70)])
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


def test_what_is_older_than_the_oldest_backup_is_needless_but_for_what_says_which_term_holds() -> None:
    old, marker, lost, newer = part(1, 300, 400), part(2, 450, 500), part(1, 400, 501), part(2, 500, 600)
    assert needless([old, lost, marker], 500) == [old]
    assert needless([old, lost, marker, newer], 520) == [old, lost, marker]


@dataclass(frozen=True)
class Term:
    """How far into the history before it a primary goes on, what it writes, and where its files end."""

    lost: int
    writes: int
    cuts: tuple[int, ...]


TERMS = st.lists(
    st.builds(Term, st.integers(0, 3), st.integers(0, 12), st.lists(st.integers(1, 60), max_size=8).map(tuple)),
    min_size=1,
    max_size=5,
)


@given(TERMS, st.data())
def test_after_any_failovers_exactly_the_history_that_holds_is_replayed(terms: list[Term], data: st.DataObject) -> None:
    """A transaction is known by its number and by who wrote it first. Each primary stores what its own log has."""
    history: list[int] = []
    stored: list[tuple[Part, list[int]]] = []
    for at, one in enumerate(terms, start=1):
        behind = max(0, len(history) - one.lost)
        history = [*history[:behind], *([at] * one.writes)]
        ends = sorted({min(cut, len(history)) for cut in one.cuts} | {len(history)})
        reached, marked = min(max((p.last for p, _ in stored), default=0), behind), False
        for begins, last in zip([0, *ends], ends, strict=False):
            if last > reached or (not marked and begins <= behind <= last):
                stored.append((part(at, begins, last), list(history)))
                reached, marked = max(reached, last), marked or begins <= behind
    after = data.draw(st.integers(0, len(history)))
    replayed: list[int] = []
    for piece in route([p for p, _ in stored], after):
        log = next(log for p, log in stored if p == piece.part)
        replayed += log[piece.after : piece.to]
    assert replayed == history[after:]
    kept = [p for p, _ in stored]
    spared = [p for p in kept if p not in needless(kept, after)]
    assert [(p.part, p.after, p.to) for p in route(spared, after)] == [
        (p.part, p.after, p.to) for p in route(kept, after)
    ]
