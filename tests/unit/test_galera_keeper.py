"""The turns of a Galera member's keeper: one member accepts writes, and what was the group is remembered."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.ccx_agent.galera_keeper import Keeper
from tests.unit.mysql_peer import Refuses, Table, answering

NODES = {"n1g1": "127.0.0.1", "n2g1": "127.0.0.2"}
GROUP, WHO_LEFT = "804db302-eb6a-11f1-a7a0-3b09b2ee4fe8", "7fb24cfd-1495-0ee1-585f-c4f64d11b017"
SESSIONS = {"7": "app", "8": "mysql", "9": "mysql.pxc.sst.user"}


class Member:
    """A member's server, with the group's row of who accepts writes; and its keeper."""

    def __init__(self, folder: Path, speech: str) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.writable, self.waits, self.primary = False, False, True
        self.members = ["n1g1", "n2g1"]
        self.row: dict[str, str | None] | None = None
        self.conflict = False
        told = {
            "label": "n1g1", "nodes": NODES, "port": 1, "tls": {}, "domain": 0, "binlogs": str(folder),
            "speech": speech, "socket": str(folder / "s"),
            **{name: str(folder / name) for name in
               ("view_file", "waiting_file", "progress_file", "apart_file", "pid_file")},
        }  # fmt: skip
        (folder / "keeper.json").write_text(json.dumps(told))
        self.keeper = Keeper(str(folder / "keeper.json"))

    def answer(self, statement: str) -> Table:
        self.said.append(statement)
        match statement.split():
            case ["show", "global", "status", *_]:
                return _shown({
                    "wsrep_ready": "ON" if self.primary else "OFF",
                    "wsrep_cluster_status": "Primary" if self.primary else "non-Primary",
                    "wsrep_local_state_comment": "Synced" if self.primary else "Initialized",
                    "wsrep_incoming_addresses": ",".join(f"{NODES[label]}:3306" for label in self.members),
                    "wsrep_last_committed": "57",
                })  # fmt: skip
            case ["show", "global", "variables", *_]:
                read_only = "OFF" if self.writable else "ON"
                return _shown({"read_only": read_only, "wsrep_desync": "OFF", "wsrep_sync_wait": str(int(self.waits))})
            case ["select", "label,", *_]:
                return [self.row] if self.row else []
            case ["select", "@@gtid_binlog_pos", *_]:
                return [{"pos": "0-10001-57"}]
            case ["select", "@@global.gtid_executed", *_]:
                return [{"pos": f"{GROUP}:1-40:42-57,\n{WHO_LEFT}:1"}]
            case ["select", "id", *_]:
                return [{"id": number} for number, who in SESSIONS.items() if f"'{who}'" not in statement]
            case ["set", "global", "read_only", "=", switch]:
                self.writable = switch == "off"
            case ["set", "global", "wsrep_sync_wait", "=", number]:
                self.waits = number == "1"
            case ["insert" | "update", *_] if self.conflict:
                self.row = _row("n2g1", 1)
                raise Refuses(1213, "Deadlock found when trying to get lock")
            case ["insert", *_]:
                self.row = _row("n1g1", 1)
            case ["update", *_] if self.row and self.row["term"] in statement.rsplit("= ", 1)[1]:
                self.row = _row(statement.split("'")[1], int(self.row["term"] or 0) + 1)
        return []


def _shown(values: dict[str, str]) -> Table:
    return [{"Variable_name": name, "Value": value} for name, value in values.items()]


def _row(label: str, term: int, current: bool = False) -> dict[str, str | None]:
    return {"label": label, "term": str(term), "start": "57", "current_reads": str(int(current))}


@pytest.fixture(params=["mariadb", "mysql"])
def speech(request: pytest.FixtureRequest) -> str:
    """Of MariaDB with Galera, and of XtraDB Cluster: the same rules for both."""
    found: str = request.param
    return found


@pytest.fixture
def member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech: str) -> Iterator[Member]:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "agent")
    monkeypatch.setattr("ccx_agent.keeper_web.client_context", lambda _: ssl.create_default_context())
    one = Member(tmp_path, speech)
    with answering(tmp_path / "s", one.answer):
        yield one


def test_the_first_member_of_a_new_group_claims_the_writes_and_remembers_the_group(member: Member) -> None:
    member.keeper.turn()
    assert member.writable
    member.keeper.turn()
    assert (member.keeper.shown["leader"], member.keeper.shown["note"]) == ("n1g1", "accepts writes")
    assert json.loads((member.folder / "view_file").read_text()) == {"view": ["n1g1", "n2g1"], "view_at": 57}
    assert any(words.startswith("insert ") and words.endswith("'n1g1', 1, 57)") for words in member.said)


def test_who_loses_the_claim_accepts_no_writes(member: Member) -> None:
    member.conflict = True
    member.keeper.turn()
    member.keeper.turn()
    assert not member.writable
    assert member.keeper.shown["note"] == "n2g1 accepts writes"


def test_who_has_left_the_group_accepts_no_writes_and_forgets_no_group(member: Member) -> None:
    member.row = _row("n1g1", 3)
    member.keeper.turn()
    assert member.writable
    member.primary, member.members = False, ["n1g1"]
    member.keeper.turn()
    assert not member.writable
    member.keeper.turn()
    assert json.loads((member.folder / "view_file").read_text())["view"] == ["n1g1", "n2g1"]


def test_reads_wait_where_the_writes_are_not_and_only_as_long_as_that_is_wanted(member: Member) -> None:
    member.row = _row("n2g1", 3, current=True)
    member.keeper.turn()
    assert member.waits
    member.row = _row("n2g1", 3)
    member.keeper.turn()
    assert not member.waits
    member.row = _row("n1g1", 4, current=True)
    for _ in range(2):
        member.keeper.turn()
    assert (member.writable, member.waits) == (True, False)


def test_writes_are_handed_to_another_member_and_to_nobody_else(member: Member) -> None:
    member.row = _row("n1g1", 3)
    member.keeper.turn()
    assert member.keeper.hand_over("n9g1") == "n9g1 is not in the group"
    assert member.writable
    assert member.keeper.hand_over("n2g1") == ""
    assert (member.row["label"], member.row["term"], member.writable) == ("n2g1", "4", False)
    assert member.keeper.hand_over("n2g1") == "n1g1 does not accept writes"


def test_who_hands_over_ends_the_sessions_of_applications_and_not_the_one_that_copies_its_data(
    member: Member, speech: str
) -> None:
    member.row = _row("n1g1", 3)
    member.keeper.turn()
    assert member.keeper.hand_over("n2g1") == ""
    ended = [words.rsplit(" ", 1)[1] for words in member.said if words.startswith("kill ")]
    assert ended == (["7"] if speech == "mysql" else ["7", "9"]), "MariaDB has no such user"


def test_new_certificates_are_told_to_the_server_and_to_galera_in_a_session_of_their_own(
    member: Member, speech: str
) -> None:
    member.keeper.turn()
    before = len(member.said)
    member.keeper.server.renew_tls()
    said = member.said[before:]
    if speech == "mariadb":
        assert said == ["flush ssl"]
    else:
        assert said.index("set session wsrep_on = off") < said.index("alter instance reload tls"), "here alone"
        assert said[-1] == "set global wsrep_provider_options = 'socket.ssl_reload=1'"
    assert member.keeper.server._kept is not None, "what was said of that session is nothing to the keeper's"
