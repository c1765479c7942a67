"""Places in a log as people write them, and from which backups what was before one can be had."""

from __future__ import annotations

import pytest

from ccx.errors import Invalid
from ccx.runner.places import ends, place


@pytest.mark.parametrize(
    ("speaks", "words", "name", "number"),
    [
        ("postgresql", "0/3000148", "0/3000148", 0x3000148),
        ("postgresql", "1a/2b3c", "1A/2B3C", 0x1A00002B3C),
        ("mysql", "0-10001-57", "0-10001-57", 57),
        ("mysql", "00-10001-057", "0-10001-57", 57),
    ],
)
def test_a_place_is_called_as_the_engine_calls_it(speaks: str, words: str, name: str, number: int) -> None:
    found = place(speaks, words)
    assert (found.name, found.number) == (name, number)


@pytest.mark.parametrize(
    ("speaks", "words", "remedy"),
    [
        ("postgresql", "0-10001-57", "0/3000148"),
        ("postgresql", "", "0/3000148"),
        ("mysql", "0/3000148", "0-10001-57"),
        ("mysql", "0-1-5,1-1-7", "0-10001-57"),
        ("mysql", "57", "0-10001-57"),
    ],
)
def test_one_of_another_engine_is_refused_with_what_is_one(speaks: str, words: str, remedy: str) -> None:
    with pytest.raises(Invalid) as refused:
        place(speaks, words)
    assert refused.value.field == "pitr_stop_lsn"
    assert remedy in (refused.value.remedy or "")


def test_a_backup_that_ends_with_a_transaction_has_it() -> None:
    (end,) = ends("mysql", "0-10001-57")
    assert not place("mysql", "0-10001-57").after(end)
    assert place("mysql", "0-10002-58").after(end)
    assert not place("mysql", "1-10001-58").after(end)


def test_what_was_before_a_place_between_two_bytes_is_in_a_backup_that_ends_there() -> None:
    (end,) = ends("postgresql", "0/3000148")
    assert place("postgresql", "0/3000148").after(end)
    assert not place("postgresql", "0/3000147").after(end)


def test_a_history_of_two_lines_ends_in_two_places() -> None:
    assert [(one.line, one.number) for one in ends("mysql", "0-1-5,3-1-7")] == [(0, 5), (3, 7)]
    assert ends("mysql", "") == []
