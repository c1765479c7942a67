"""How far MariaDB's log is replayed behind a backup: to a transaction, to just before one, to a time, or to its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import mariadb_restore
from agent.ccx_agent.log_parts import Part
from agent.ccx_agent.mariadb_log import MariaDbLog, transactions
from tests.unit.folder_store import folder_store
from tests.unit.test_mariadb_log import BEGAN, log_of


class Replays:
    """In the place of a server: notes which transactions it was given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def replay(self, log: Path, first: int, stop: int | None) -> Iterator[int]:
        self.given += [
            one.gtid for one in transactions(log) if one.offset >= first and (stop is None or one.offset < stop)
        ]
        return iter(())


class Kept:
    """What a store has of a log."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder, self.archive = folder, store / "archive"

    def log(
        self, term: int, server: int, first: int, last: int, *,
        log: str = "abc", damaged: bool = False, lacks: int | None = None,
    ) -> None:  # fmt: skip
        """A part of it, which has these transactions."""
        (self.archive / log).mkdir(parents=True, exist_ok=True)
        before = [(0, server, first - 1)] if first > 1 else []
        file = log_of(self.folder / "written", before, [(0, server, n) for n in range(first, last + 1)])
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:40]
        part = Part(term, first - 1, last, BEGAN + last, digest, f"n{server}g1", "binlog.000007", lacks)
        (self.archive / log / part.name).write_bytes(content[:-1] if damaged else content)

    def replayed(self, after: int, *logs: str, **how: Any) -> tuple[str, list[str]]:
        """Where it ended, and what was replayed."""
        from ccx_agent.mariadb_store import Store  # type: ignore[import-not-found]

        told = {"rclone": "rclone.conf", "logs": list(logs) or ["abc"], "work": str(self.folder), **how}
        server = Replays()
        last = mariadb_restore._replay(Store(told), told, f"0-1-{after}", MariaDbLog(), server, lambda *_: None)  # type: ignore[arg-type]
        return last, server.given


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(tmp_path, folder_store(tmp_path, monkeypatch))


def gtids(server: int, first: int, last: int) -> list[str]:
    return [f"0-{server}-{n}" for n in range(first, last + 1)]


@pytest.fixture
def failed_over(kept: Kept) -> Kept:
    """Two servers wrote; the first one's last two transactions were lost with it."""
    kept.log(1, 1, 1, 10)
    kept.log(1, 1, 11, 22)
    kept.log(2, 2, 21, 30)
    return kept


def test_without_a_goal_all_of_the_history_that_holds_is_replayed(failed_over: Kept) -> None:
    assert failed_over.replayed(5) == ("0-2-30", [*gtids(1, 6, 20), *gtids(2, 21, 30)])
    assert failed_over.replayed(30) == ("0-1-30", []), "there is no more"


@pytest.mark.parametrize(
    ("how", "last"),
    [
        ({"through": "0-1-15"}, 15),
        ({"before": "0-1-15"}, 14),
        ({"before": "0-1-11"}, 10),  # a file begins with it
        ({"to": BEGAN + 15}, 14),  # what began in that second is not there
        ({"to": BEGAN + 11.9}, 10),
    ],
)
def test_the_goal_is_met_to_the_transaction(failed_over: Kept, how: dict[str, Any], last: int) -> None:
    assert failed_over.replayed(5, **how) == (f"0-1-{last}", gtids(1, 6, last))


def test_a_time_or_a_transaction_in_another_primarys_log_is_met_too(failed_over: Kept) -> None:
    for how in ({"to": BEGAN + 25}, {"before": "0-2-25"}, {"through": "0-2-24"}):
        assert failed_over.replayed(5, **how) == ("0-2-24", [*gtids(1, 6, 20), *gtids(2, 21, 24)])


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"before": "0-1-25"}, "that number is 0-2-25"),
        ({"before": "0-1-5"}, "begins with an older one"),
        ({"through": "0-2-40"}, "the log ends at 0-2-30"),
    ],
)
def test_a_goal_that_is_not_in_the_log_is_refused(failed_over: Kept, how: dict[str, Any], why: str) -> None:
    with pytest.raises(mariadb_restore.NoRestore, match=why):
        failed_over.replayed(5, **how)


def test_a_gap_is_refused_unless_the_goal_comes_before_it(kept: Kept) -> None:
    kept.log(1, 1, 1, 10)
    kept.log(1, 1, 15, 20)
    for how in ({}, {"to": BEGAN + 18}, {"through": "0-1-18"}):
        with pytest.raises(mariadb_restore.NoRestore, match="gap behind 0-1-10"):
            kept.replayed(5, **how)
    assert kept.replayed(5, to=BEGAN + 9)[0] == "0-1-8"


def test_a_lost_tail_is_not_replayed_in_place_of_what_nobody_stored(kept: Kept) -> None:
    """The first one's last were lost; the second one wrote others and stored nothing; the third one's are a copy's."""
    kept.log(1, 1, 1, 22)
    kept.log(3, 3, 19, 30, lacks=0)
    for how in ({}, {"to": BEGAN + 25}, {"before": "0-3-25"}, {"through": "0-3-24"}):
        with pytest.raises(mariadb_restore.NoRestore, match="gap behind 0-1-18"):
            kept.replayed(5, **how)
    assert kept.replayed(5, to=BEGAN + 9)[0] == "0-1-8"
    assert kept.replayed(18) == ("0-3-30", gtids(3, 19, 30))


def test_another_branch_goes_on_where_it_left_the_former_one(kept: Kept) -> None:
    kept.log(5, 1, 1, 20)
    kept.log(1, 2, 11, 15, log="abc-1")
    assert kept.replayed(5, "abc", "abc-1") == ("0-2-15", [*gtids(1, 6, 10), *gtids(2, 11, 15)])


def test_a_part_that_is_damaged_is_named(kept: Kept) -> None:
    kept.log(1, 1, 1, 10, damaged=True)
    with pytest.raises(mariadb_restore.NoRestore, match=r"a part of the log is damaged: .*binlog\.000007"):
        kept.replayed(5)
