"""What the writer's ledger concludes from acknowledgements."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ccx.demo.ledger import Acknowledgement, Ledger


def ledger(*acknowledged: tuple[int, float, float, str, int]) -> Ledger:
    book = Ledger()
    for values in acknowledged:
        book.sent(values[0])
        book.acknowledge(Acknowledgement(*values))
    return book


def test_the_gap_is_the_longest_pause_between_acknowledgements() -> None:
    book = ledger((1, 0.0, 0.1, "a", 1), (2, 0.2, 0.3, "a", 1), (3, 2.0, 5.3, "b", 2), (4, 5.4, 5.5, "b", 2))
    assert book.gap() == 5.0


def test_there_is_no_gap_before_two_acknowledgements() -> None:
    assert ledger().gap() == 0.0
    assert ledger((1, 0.0, 0.1, "a", 1)).gap() == 0.0


def test_only_acknowledged_numbers_can_be_lost() -> None:
    book = ledger((1, 0.0, 0.1, "a", 1), (2, 0.2, 0.3, "a", 1))
    book.sent(3)
    assert book.missing_from([1]) == [2]
    assert book.missing_from([1, 2, 3]) == []
    assert book.unacknowledged == [3]


def test_a_failover_is_no_overlap() -> None:
    assert ledger((1, 0.0, 0.1, "a", 1), (2, 3.0, 3.1, "b", 2)).overlapping_primaries() == []


def test_a_late_answer_of_the_old_primary_is_no_overlap() -> None:
    book = ledger((1, 0.0, 0.1, "a", 1), (3, 3.0, 3.1, "b", 2), (2, 0.2, 3.2, "a", 1))
    assert book.overlapping_primaries() == []


def test_a_server_promoted_again_is_no_overlap() -> None:
    book = ledger((1, 0.0, 0.1, "a", 1), (2, 1.0, 1.1, "b", 2), (3, 2.0, 2.1, "a", 3))
    assert book.overlapping_primaries() == []


def test_an_old_primary_that_accepts_a_write_after_the_new_one_did_is_an_overlap() -> None:
    book = ledger((1, 0.0, 0.1, "a", 1), (2, 1.0, 1.1, "b", 2), (3, 1.2, 1.3, "a", 1), (4, 1.4, 1.5, "a", 1))
    (overlap,) = book.overlapping_primaries()
    assert (overlap.old.number, overlap.new.number) == (3, 2)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
def test_primaries_that_only_ever_follow_one_another_never_overlap(lengths: list[int]) -> None:
    book, now, number = Ledger(), 0.0, 0
    for timeline, length in enumerate(lengths, start=1):
        for _ in range(length):
            number, now = number + 1, now + 1
            book.acknowledge(Acknowledgement(number, now - 0.5, now, f"server {timeline % 3}", timeline))
    assert book.overlapping_primaries() == []
