"""What becomes of a node's data that are given up for a copy of the leader's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import mysql_prepare, mysql_seed
from agent.ccx_agent.mysql_seed import BEHIND, give_up

SERVER = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    """A node that has data, and logs as MariaDB 11.8 leaves them."""
    (tmp_path / "data").mkdir()
    (tmp_path / "binlog" / "#binlog_cache_files").mkdir(parents=True)
    for name in ("binlog.000001", "binlog.000001.idx", "relay.index"):
        (tmp_path / "binlog" / name).write_text(f"in {name}\n")
    folders = {name: str(tmp_path / name) for name in ("data", "errant")}
    return {**folders, "binlogs": str(tmp_path / "binlog"), "rebuild_file": str(tmp_path / "rebuild")}


@pytest.mark.parametrize(("mark", "kept"), [("", ["in binlog.000001\n"]), (BEHIND, [])])
def test_all_of_it_goes_and_only_what_may_be_its_own_is_kept_apart(
    told: dict[str, Any], mark: str, kept: list[str]
) -> None:
    Path(told["rebuild_file"]).write_text(mark)
    give_up(told, ["cat"])
    assert not Path(told["data"]).exists()
    assert list(Path(told["binlogs"]).iterdir()) == []
    assert [path.read_text() for path in Path(told["errant"]).glob("*.sql")] == kept


@pytest.mark.parametrize(
    ("limit", "kept"), [(1_000, "in binlog.000001\nabcd"), (3, "bcd"), (0, "cd")], ids=["all", "some", "two"]
)
def test_it_is_looked_for_in_the_newest_logs_however_often_the_server_began_another(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch, limit: int, kept: str
) -> None:
    monkeypatch.setattr(mysql_seed, "_SHOWN", limit)
    for number, text in enumerate("abcd", 2):
        (Path(told["binlogs"]) / f"binlog.{number:06d}").write_text(text)
    give_up(told, ["cat"])
    assert [path.read_text() for path in Path(told["errant"]).glob("*.sql")] == [kept]


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        (f"{SERVER}:9-10", [f"--include-gtids={SERVER}:9-10"]),
        ("", []),  # nobody knows which they are: all
        (BEHIND, []),
        (None, []),
    ],
)
def test_of_mysqls_logs_what_the_keeper_found_to_be_nobody_elses_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str | None, shown: list[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "agent")
    if mark is not None:
        (tmp_path / "rebuild").write_text(mark)
    assert mysql_prepare._only_errant(tmp_path / "rebuild") == shown


def test_nobody_but_replicas_has_a_password_in_mysqls_first_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "agent")
    said = list(mysql_prepare._first_users({"user": "ccx_replication", "password": "it's"}))
    assert [words for words in said if "identified with" in words] == [
        "create user 'ccx_replication'@'%' identified with caching_sha2_password by 'it''s' require x509"
    ]
    assert "set plugin = 'auth_socket', authentication_string = '' where user in ('root', 'mysql')" in said[2]
