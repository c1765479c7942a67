"""What a keeper has its server do, statement by statement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.ccx_agent.keeper import MARGIN, TTL
from agent.ccx_agent.keeper_rules import Server
from agent.ccx_agent.mysql_server import _HOLD, DatabaseServer
from agent.ccx_agent.mysql_wire import ServerRefused
from tests.unit.mysql_peer import Refuses, Table, answering


class Told:
    """A server that notes what it is told; ``rows`` answer what begins so, ``refuses`` what it does not do."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.rows: dict[str, Table] = {"select @@version": [{"version": "11.8.9-MariaDB"}]}
        self.refuses = "nothing"
        self.copied = folder / "copied"
        self.keeper = DatabaseServer({
            "socket": str(folder / "s"), "pid_file": str(folder / "pid"), "copied_file": str(self.copied),
            "binlogs": str(folder), "replication": {"user": "ccx_replication", "password": "pass"},
            "tls": {"ca": "/c", "certificate": "/d", "key": "/k"},
        })  # fmt: skip

    def answer(self, statement: str) -> Table:
        self.said.append(statement)
        if statement.startswith(self.refuses):
            raise Refuses(1094, "no")
        return next((rows for begins, rows in self.rows.items() if statement.startswith(begins)), [])


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    server = Told(tmp_path)
    with answering(tmp_path / "s", server.answer):
        yield server


def test_who_is_not_sure_to_lead_any_more_accepts_no_writes(told: Told) -> None:
    told.keeper.promote(lambda: False, semi_sync=True)
    assert told.said[-1] == "set global rpl_semi_sync_master_enabled = on"
    told.keeper.promote(lambda: True, semi_sync=True)
    assert told.said[-1] == "set global read_only = off"


def test_a_hand_over_ends_the_sessions_of_others_and_is_over_before_the_leadership_is(told: Told) -> None:
    told.rows["select id"] = [{"id": "7"}, {"id": "8"}]
    told.refuses = "kill connection 7"
    told.keeper.hold()
    assert told.said[1] == "set global read_only = on"
    assert told.said[-2:] == ["kill connection 7", "kill connection 8"], "the former has gone by itself"
    assert _HOLD < TTL - MARGIN, "nobody renews it meanwhile"


def test_a_copy_says_once_where_to_begin_and_again_where_that_failed(told: Told) -> None:
    told.copied.write_text("0-1-7\n")
    told.refuses = "change master"
    with pytest.raises(ServerRefused):
        told.keeper.follow("10.0.0.2", Server())
    told.refuses = "nothing"
    told.keeper.follow("10.0.0.2", Server())
    assert told.said.count("set global gtid_slave_pos = '0-1-7'") == 2
    assert not told.copied.exists()
    told.keeper.follow("10.0.0.2", Server(source="10.0.0.2"))
    assert told.said[-1] == "start slave"


def test_what_is_for_this_server_alone_gets_into_no_log_also_where_it_fails(told: Told) -> None:
    told.refuses = "flush local ssl"
    with pytest.raises(ServerRefused):
        told.keeper.renew_tls()
    assert told.said[-3:] == ["set session sql_log_bin = 0", "flush local ssl", "set session sql_log_bin = 1"]


def test_a_server_that_does_not_answer_does_not_run(tmp_path: Path) -> None:
    assert not Told(tmp_path).keeper.look().server.running
