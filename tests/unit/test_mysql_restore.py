"""How far MySQL's log is replayed behind a backup: as MariaDB's, where transactions' names tell no place in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import backed, mariadb_restore
from agent.ccx_agent.log_parts import Part
from agent.ccx_agent.mysql_log import MySqlLog
from agent.ccx_agent.mysql_wire import Row, ServerRefused
from tests.unit.folder_store import folder_store
from tests.unit.mysql_log_files import BEGAN, SERVERS, mysql_log_of

A, B = SERVERS[:2]
BACKUP = f"{A}:1-5"
WHOLE = [*(f"{A}:{n}" for n in range(6, 21)), *(f"{B}:{n}" for n in range(1, 11))]
"""What comes behind the backup. Each was committed half a second behind as many seconds as there are before it."""


class Replays:
    """In the place of a server: notes which transactions it was given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def replay(self, log: Path, first: int, stop: int | None) -> Iterator[int]:
        self.given += [
            one.gtid
            for one in MySqlLog().transactions(log, 0)
            if one.offset >= first and (stop is None or one.offset < stop)
        ]
        return iter(())
        return iter(())


class Kept:
    def __init__(self, folder: Path, store: Path) -> None:
        self.folder, self.archive = folder, store / "archive/abc"
        self.archive.mkdir(parents=True)

    def log(self, term: int, behind: int, before: str, written: list[str]) -> None:
        """A part of it that begins behind so many. ``before``: what its own server's log had."""
        at = [(gtid, BEGAN + number + 0.5) for number, gtid in enumerate(written, start=behind)]
        content = mysql_log_of(self.folder / "written", before, at).read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:40]
        last = behind + len(written)
        (self.archive / Part(term, behind, last, BEGAN + last, digest, "n1g1", "binlog.000007").name).write_bytes(
            content
        )

    def replayed(self, **how: Any) -> tuple[str, list[str]]:
        """Where it ended, and what was replayed."""
        from ccx_agent.mariadb_store import Store  # type: ignore[import-not-found]

        told = {"rclone": "rclone.conf", "logs": ["abc"], "work": str(self.folder), **how}
        server = Replays()
        last = mariadb_restore._replay(Store(told), told, BACKUP, MySqlLog(), server, lambda *_: None)  # type: ignore[arg-type]
        return last, server.given


@pytest.fixture
def failed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Two servers wrote, the second one made of a copy; the first one's last two transactions were lost with it."""
    kept = Kept(tmp_path, folder_store(tmp_path, monkeypatch))
    kept.log(1, 0, "", [f"{A}:{n}" for n in range(1, 11)])
    kept.log(1, 10, f"{A}:1-10", [f"{A}:{n}" for n in range(11, 23)])
    kept.log(2, 15, "", [*(f"{A}:{n}" for n in range(16, 21)), *(f"{B}:{n}" for n in range(1, 11))])
    return kept


def test_without_a_goal_all_of_the_history_that_holds_is_replayed(failed_over: Kept) -> None:
    assert failed_over.replayed() == (f"{B}:10", WHOLE)


@pytest.mark.parametrize(
    ("how", "last"),
    [
        ({"through": f"{A}:1-20,{B}:1-3"}, f"{B}:3"),
        ({"through": f"{A}:1-15"}, f"{A}:15"),
        ({"before": f"{B}:4"}, f"{B}:3"),
        ({"before": f"{B}:1"}, f"{A}:20"),
        ({"before": f"{A}:11"}, f"{A}:10"),
        ({"to": BEGAN + 10.5}, f"{A}:10"),  # the eleventh was committed then
        ({"to": BEGAN + 10.6}, f"{A}:11"),
        ({"to": BEGAN + 23}, f"{B}:3"),
    ],
)
def test_the_goal_is_met_to_the_transaction(failed_over: Kept, how: dict[str, Any], last: str) -> None:
    assert failed_over.replayed(**how) == (last, WHOLE[: WHOLE.index(last) + 1])


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"before": f"{A}:21"}, f"there is no transaction {A}:21 in the log"),  # it was lost
        ({"before": f"{SERVERS[3]}:1"}, f"no transaction {SERVERS[3]}:1 in the log, which ends at {B}:10"),
        ({"before": f"{A}:5"}, "begins with an older one"),
        ({"through": f"{A}:1-20,{B}:1-30"}, f"the log ends at {B}:10"),
    ],
)
def test_a_goal_that_is_not_in_the_log_is_refused(failed_over: Kept, how: dict[str, Any], why: str) -> None:
    with pytest.raises(mariadb_restore.NoRestore, match=why):
        failed_over.replayed(**how)


class Server:
    """Says what it has, and knows the newer word for forgetting it, or does not."""

    def __init__(self, gtid: str, *, old: bool) -> None:
        self.gtid, self.old, self.said = gtid, old, list[str]()

    def ask(self, statement: str) -> list[Row]:
        self.said.append(statement)
        if self.old and statement.startswith("reset binary"):
            raise ServerRefused(1064, "You have an error in your SQL syntax")
        return [{"gtid": self.gtid}] if statement.startswith("select") else []


@pytest.mark.parametrize("old", [False, True])
def test_a_copy_whose_data_lack_the_last_transactions_names_is_told_them(old: bool) -> None:
    agrees = backed.backed({"speech": "mysql"}).agrees
    whole = Server(f"{A}:1-57,\n{B}:1-2", old=old)
    agrees(whole.ask, f"{A}:1-57,{B}:1-2")
    assert len(whole.said) == 1
    lacking = Server(f"{A}:1-50", old=old)
    agrees(lacking.ask, f"{A}:1-57")
    assert lacking.said[-1] == f"set global gtid_purged = '{A}:1-57'"
    assert lacking.said[-2] == ("reset master" if old else "reset binary logs and gtids")
