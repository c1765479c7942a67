"""Places in a log as people write them, and from which backups what was before one can be had."""

from __future__ import annotations

import pytest

from ccx.errors import Invalid
from ccx.runner.places import ends, place

A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("kind", "words", "name", "number"),
    [
        ("lsn", "0/3000148", "0/3000148", 0x3000148),
        ("lsn", "1a/2b3c", "1A/2B3C", 0x1A00002B3C),
        ("mariadb-gtid", "0-10001-57", "0-10001-57", 57),
        ("mariadb-gtid", "00-10001-057", "0-10001-57", 57),
        ("mysql-gtid", f"{A.upper()}:057", f"{A}:57", 57),
        ("mysql-gtid", f"{A}:nightly:7", f"{A}:nightly:7", 7),
    ],
)
def test_a_place_is_called_as_the_engine_calls_it(kind: str, words: str, name: str, number: int) -> None:
    found = place(kind, words)
    assert (found.name, found.number) == (name, number)


@pytest.mark.parametrize(
    ("kind", "words", "remedy"),
    [
        ("lsn", "0-10001-57", "0/3000148"),
        ("lsn", "", "0/3000148"),
        ("mariadb-gtid", "0/3000148", "0-10001-57"),
        ("mariadb-gtid", "0-1-5,1-1-7", "0-10001-57"),
        ("mariadb-gtid", "57", "0-10001-57"),
        ("mysql-gtid", "0-10001-57", "429562:57"),
        ("mysql-gtid", f"{'a' * 8}-1:57", "429562:57"),
        ("mysql-gtid", f"{'1' * 8}-{A[9:]}:1-57", "429562:57"),  # a set is no transaction
        ("mariadb-gtid", f"{A}:57", "0-10001-57"),
    ],
)
def test_one_of_another_engine_is_refused_with_what_is_one(kind: str, words: str, remedy: str) -> None:
    with pytest.raises(Invalid) as refused:
        place(kind, words)
    assert refused.value.field == "pitr_stop_lsn"
    assert remedy in (refused.value.remedy or "")


def test_a_backup_that_ends_with_a_transaction_has_it() -> None:
    (end,) = ends("mariadb-gtid", "0-10001-57")
    assert not place("mariadb-gtid", "0-10001-57").after(end)
    assert place("mariadb-gtid", "0-10002-58").after(end)
    assert not place("mariadb-gtid", "1-10001-58").after(end)


def test_what_was_before_a_place_between_two_bytes_is_in_a_backup_that_ends_there() -> None:
    (end,) = ends("lsn", "0/3000148")
    assert place("lsn", "0/3000148").after(end)
    assert not place("lsn", "0/3000147").after(end)


def test_a_history_of_two_lines_ends_in_two_places() -> None:
    assert [(one.line, one.number) for one in ends("mariadb-gtid", "0-1-5,3-1-7")] == [(0, 5), (3, 7)]
    assert ends("mariadb-gtid", "") == []


def test_a_set_ends_with_the_last_transaction_of_each_server_and_tag() -> None:
    found = ends("mysql-gtid", f"{A}:1-5:7:nightly:1-3:9,\n{B}:1-2")
    assert [(one.line, one.number) for one in found] == [(A, 7), (f"{A}:nightly", 9), (B, 2)]
    assert ends("mysql-gtid", "") == []


def test_a_backup_that_has_nothing_of_a_server_is_older_than_all_that_it_wrote() -> None:
    """Who became primary later counts from one on."""
    backup = ends("mysql-gtid", f"{A}:1-57")
    assert place("mysql-gtid", f"{B}:1").reached(backup)
    assert place("mysql-gtid", f"{A}:58").reached(backup)
    assert not place("mysql-gtid", f"{A}:57").reached(backup)
    assert not place("mysql-gtid", f"{B}:1").reached([]), "a backup whose end nobody noted"
    assert not place("mariadb-gtid", "1-10001-58").reached(ends("mariadb-gtid", "0-10001-57"))
