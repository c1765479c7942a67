"""What is read from a connection to the database server, and how it ends when the server does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from agent.ccx_agent.mysql_wire import Connection, ServerRefused, ServerSilent, name, quoted
from tests.unit.mysql_peer import Refuses, Table, answering


def test_rows_are_read_whatever_is_in_them(tmp_path: Path) -> None:
    values = {"null": None, "none": "", "word": "wört 🐘", "long": "x" * 300, "longer": "y" * 70_000}
    with (
        answering(tmp_path / "s", lambda statement: [values, values] if statement == "select ’" else []),
        Connection(str(tmp_path / "s"), "mysql", 10) as connection,
    ):
        assert connection.query("select ’") == [values | {"null": ""}] * 2
        assert connection.query("set global read_only = on") == []


def test_a_refusal_has_its_number_and_leaves_the_connection_as_it_was(tmp_path: Path) -> None:
    def answer(statement: str) -> Table:
        if statement == "nonsense":
            raise Refuses(1064, "You have an error in your SQL syntax")
        return [{"n": "1"}]

    with answering(tmp_path / "s", answer), Connection(str(tmp_path / "s"), "mysql", 10) as connection:
        with pytest.raises(ServerRefused, match="error in your SQL") as refused:
            connection.query("nonsense")
        assert refused.value.number == 1064
        assert connection.query("select 1 as n") == [{"n": "1"}]


def test_a_server_that_does_not_answer_in_time_or_ends_is_silent(tmp_path: Path) -> None:
    never = Event()

    def hangs(_statement: str) -> Table:
        never.wait(10)
        return []

    answers: list[Callable[[str], Table]] = [hangs, lambda _: [{"n": "1"}]]
    with answering(tmp_path / "s", answers[0]):
        hung = Connection(str(tmp_path / "s"), "mysql", 10)
        with pytest.raises(ServerSilent):
            hung.query("select 1 as n", 0.05)
        with pytest.raises(ServerSilent):
            hung.query("select 1 as n")
        never.set()
    with answering(tmp_path / "s", answers[1]):
        ended = Connection(str(tmp_path / "s"), "mysql", 10)
        assert ended.query("select 1 as n") == [{"n": "1"}]
    with pytest.raises(ServerSilent):
        ended.query("select 1 as n")
    with pytest.raises(ServerSilent):
        Connection(str(tmp_path / "s"), "mysql", 10)


def test_what_a_statement_is_told_can_not_end_it() -> None:
    assert quoted("it's \\") == "'it''s \\\\'"
    assert name("a`b") == "`a``b`"
    for quote in (quoted, name):
        with pytest.raises(ValueError, match="zero byte"):
            quote("a\0b")
