"""MariaDB's verbs: what they find in its log, and what they say when it is away or refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from agent.ccx_agent import mariadb_backup, notes
from agent.ccx_agent.errors import AgentError
from tests.unit.mysql_peer import Refuses, Table, answering
from tests.unit.test_mariadb_log import log_of


def test_a_transaction_is_found_though_the_next_file_is_just_being_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "backup.json"
    configuration.write_text(json.dumps({"binlogs": str(tmp_path), "domain": None}))
    monkeypatch.setattr(mariadb_backup, "CONFIGURATION", str(configuration))
    log_of(tmp_path / "binlog.000001", [], [(0, 10001, 1), (0, 10001, 2)])
    log_of(tmp_path / "binlog.000002", [(0, 10001, 2)], [(0, 20001, 3)])
    (tmp_path / "binlog.000003").write_bytes(b"\xfebin")
    found = {n: mariadb_backup.transaction({"number": n}, lambda _: None)["gtid"] for n in (2, 3, 4)}
    assert found == {2: "0-10001-2", 3: "0-20001-3", 4: ""}


def test_a_server_that_refuses_or_is_away_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_statement: str) -> Table:
        raise Refuses(1047, "WSREP has not yet prepared node for application use")

    configuration = tmp_path / "backup.json"
    configuration.write_text(json.dumps({"socket": str(tmp_path / "s")}))
    monkeypatch.setattr(mariadb_backup, "CONFIGURATION", str(configuration))
    with answering(tmp_path / "s", refuses), pytest.raises(AgentError, match="WSREP has not yet prepared node"):
        mariadb_backup.position({}, lambda _: None)
    with pytest.raises(AgentError, match="does not answer") as away:
        mariadb_backup.position({}, lambda _: None)
    assert "journal" in away.value.remedy


def test_a_full_backup_makes_up_for_what_was_given_up_before_it_and_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given up while its copy is being sent is behind the copy: no later time can be restored with it."""
    monkeypatch.setattr(mariadb_backup, "WORK", tmp_path)
    monkeypatch.setattr(mariadb_backup.task, "clean", lambda _: None)
    noted = tmp_path / "given-up"
    noted.write_text("2026-11-28T03:59:59+00:00 binlog.000007\n2026-11-28T04:00:00+00:00 binlog.000008\n")
    began = datetime(2026, 11, 28, 4, 0, tzinfo=UTC).isoformat()
    mariadb_backup.clear({"name": "one", "healed": ""}, lambda _: None)
    assert len(mariadb_backup._given_up()) == 2
    mariadb_backup.clear({"name": "one", "healed": began}, lambda _: None)
    assert noted.read_text() == "2026-11-28T04:00:00+00:00 binlog.000008\n"


def test_what_is_stored_counts_only_by_the_word_of_who_leads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A node that was a replica until now has seen what the lost primary stored, of another history."""
    monkeypatch.setattr(mariadb_backup, "WORK", tmp_path)
    monkeypatch.setattr(mariadb_backup, "_LOOK_EVERY_S", 0.001)
    says = iter([{"stored": 100, "ships": False}, {"stored": 98, "ships": True}, {"stored": 100, "ships": True}])
    asked = []

    def look(_: dict[str, object]) -> None:
        asked.append(mariadb_backup._shipped())
        notes.write(tmp_path / "shipped", next(says))

    mariadb_backup.marked({"wanted": 100, "limit": 30}, look)
    assert [one.get("stored") for one in asked] == [None, 100, 98]
    notes.write(tmp_path / "shipped", {"stored": 100, "ships": False, "err": "it does not lead"})
    with pytest.raises(AgentError, match="it does not lead"):
        mariadb_backup.marked({"wanted": 100, "limit": 0}, lambda _: None)
