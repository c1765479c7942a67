"""What of its log a node stores, and under which name; what it takes for stored, and what it gives up."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import mariadb_ship
from agent.ccx_agent.log_parts import Part, parse
from agent.ccx_agent.mariadb_ship import Shipper
from agent.ccx_agent.mysql_gtid import GtidSet
from tests.unit.folder_store import folder_store
from tests.unit.mysql_log_files import BEGAN, SERVERS, mysql_log_of
from tests.unit.mysql_peer import Table, answering
from tests.unit.test_mariadb_log import log_of


class Node:
    """A server that writes its log, and a store."""

    speech = "mariadb"
    semi_sync = "Rpl_semi_sync_master"

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder, self.store, self.socket = folder, store, folder / "s"
        self.last = 0
        self.files = 0
        self.leads = True
        self.term = (1, 0)
        self.waiting = "0"
        self.purges = True
        self.said: list[str] = []
        self.copied = 0
        """How many transactions came with a copy: its log has none of them."""
        told = {"rclone": "rclone.conf", "archive": "abc", "label": "n1g1", "socket": str(self.socket)}
        told["speech"] = self.speech
        folders = {"work": str(folder), "binlogs": str(folder)}
        self.shipper = Shipper({**told, **folders}, lambda: self.term)

    def write(self, transactions: int) -> Path:
        """The next file of its log, with so many."""
        behind, self.last, self.files = self.last, self.last + transactions, self.files + 1
        return self.log(self.folder / f"binlog.{self.files:06}", behind, self.last)

    def log(self, path: Path, behind: int, last: int) -> Path:
        """A file of it that begins ``behind`` that transaction."""
        before = [(0, 1, behind)] if behind > self.copied else []
        return log_of(path, before, [(0, 1, n) for n in range(behind + 1, last + 1)])

    def look(self) -> dict[str, str | None]:
        return {"pos": f"0-1-{self.last}"}

    def answer(self, statement: str) -> Table:
        self.said.append(statement)
        if statement.startswith("select"):
            return [{"ro": "0" if self.leads else "1", **self.look()}]
        if statement.startswith("show"):
            return [
                {"Variable_name": f"{self.semi_sync}_wait_sessions", "Value": self.waiting},
                {"Variable_name": f"{self.semi_sync}_yes_tx", "Value": "1"},
            ]
        if statement.startswith("flush"):
            self.write(0)
        if statement == "purge binary logs to 'binlog.000002'" and self.purges:
            (self.folder / "binlog.000001").unlink()
        return []

    def stored(self) -> list[tuple[int, int, int]]:
        """Terms, and what there is of them."""
        return sorted((part.term, part.start, part.last) for part in self.parts())

    def parts(self) -> list[Part]:
        return [part for path in self.store.glob("archive/abc/*") if (part := parse(path.name)) is not None]


class MySqlNode(Node):
    """Every third transaction is another server's, as where others led before it: numbers are in no name."""

    speech = "mysql"
    semi_sync = "Rpl_semi_sync_source"

    def log(self, path: Path, behind: int, last: int) -> Path:
        before = str(GtidSet.parse(self._up_to(behind)) - GtidSet.parse(self._up_to(self.copied)))
        return mysql_log_of(path, before, [(self._called(n), BEGAN) for n in range(behind + 1, last + 1)])

    def look(self) -> dict[str, str | None]:
        return {"pos": self._up_to(self.last), "before": self._up_to(self.copied)}

    def _up_to(self, number: int) -> str:
        return ",\n".join(self._called(n) for n in range(1, number + 1))

    @staticmethod
    def _called(number: int) -> str:
        return f"{SERVERS[1]}:{number // 3}" if number % 3 == 0 else f"{SERVERS[0]}:{number - number // 3}"


@pytest.fixture(params=[Node, MySqlNode], ids=["mariadb", "mysql"])
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Node]:
    one: Node = request.param(tmp_path, folder_store(tmp_path, monkeypatch))
    with answering(one.socket, one.answer):
        yield one


def test_who_leads_stores_what_it_has_at_once_and_a_replica_nothing(node: Node) -> None:
    node.write(3)
    node.leads = False
    node.shipper.turn()
    assert node.stored() == []
    node.leads = True
    node.shipper.turn()
    assert node.stored() == [(1, 0, 3)]
    assert node.shipper.stored == 3
    node.shipper.turn()
    assert len([words for words in node.said if words.startswith("flush")]) == 1, "nothing was written since"


def test_what_waited_for_the_store_makes_the_recovery_point_no_newer_than_it_is(node: Node) -> None:
    file = node.write(3)
    node.write(0)
    an_hour_ago = time.time() - 3600
    os.utime(file, (an_hour_ago, an_hour_ago))
    node.shipper.turn()
    node.shipper.show("")
    told = json.loads((node.folder / "shipped").read_text())
    assert told["stored"] == 3
    assert told["newest"] == int(an_hour_ago) + 1


def test_a_term_that_others_ended_is_gone_on_with_from_what_they_stored(node: Node) -> None:
    node.write(3)
    node.shipper.turn()
    node.leads = False
    node.shipper.turn()
    node.write(4)
    node.term, node.leads = (3, 5), True
    node.shipper.turn()
    assert node.stored() == [(1, 0, 3), (3, 0, 3), (3, 3, 7)], "the second term left no word of where it began"


def test_what_was_written_after_another_led_for_a_moment_is_of_the_new_term(node: Node) -> None:
    """Storing a file can take longer than two failovers. As the first term's, no restore would get to it."""
    node.write(3)
    node.shipper.turn()
    node.write(4)
    node.term = (3, 5)  # nobody looked while the other one led, and stored up to there
    node.shipper.turn()
    node.shipper.turn()
    assert node.stored() == [(1, 0, 3), (3, 0, 3), (3, 3, 7)]


def test_a_keeper_that_is_silent_fills_no_volume(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may accept writes all the same."""

    def silent() -> tuple[int, int]:
        raise OSError("connection refused")

    node.write(1)
    node.shipper.turn()
    monkeypatch.setattr(mariadb_ship, "RESERVE", 2.0)
    monkeypatch.setattr(node.shipper, "_ask_term", silent)
    node.write(1)
    with pytest.raises(OSError, match="refused"):
        node.shipper.turn()
    assert node.said[-1].startswith("purge binary logs to")


@pytest.mark.parametrize("term", [(1, 0), (2, 9), (3, 9)], ids=["same-term", "next-term", "after-a-term-without-word"])
def test_a_log_that_begins_behind_what_the_store_has_says_so_and_is_noted_as_given_up(
    node: Node, term: tuple[int, int]
) -> None:
    """Data that were made anew bring no log along, and a server may remove of its own what nobody has stored."""
    node.write(3)
    node.shipper.turn()
    for file in node.folder.glob("binlog.*"):
        file.unlink()
    node.last, node.term, node.copied = 7, term, 7
    node.shipper.ships = False
    node.write(2)
    node.shipper.turn()
    assert node.stored()[-1] == (term[0], 7, 9)
    lacks = 0 if term[0] == 3 else 3
    assert sorted(part.lacks for part in node.parts() if part.lacks is not None) == [lacks]
    assert (node.folder / "given-up").read_text().split()[1:] == [f"binlog.{node.files - 1:06}"]
    node.shipper.ships = False
    node.write(1)
    node.shipper.turn()
    assert len([part for part in node.parts() if part.lacks is not None]) == 1, "what follows connects"
    assert len((node.folder / "given-up").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("noted", "again"), [("2026-01-01T00:00:00+00:00", True), ("2126-01-01T00:00:00+00:00", False)],
    ids=["before-what-is-stored", "since"],
)  # fmt: skip
def test_what_was_noted_of_an_earlier_gap_hides_no_later_one(node: Node, noted: str, again: bool) -> None:
    """A node that is away when a full backup makes up for one goes on having it noted."""
    node.write(3)
    node.shipper.turn()
    for file in node.folder.glob("binlog.*"):
        file.unlink()
    (node.folder / "given-up").write_text(f"{noted} binlog.000007\n")
    node.last = node.copied = 7
    node.shipper.ships = False
    node.write(2)
    node.shipper.turn()
    assert [part.lacks for part in node.parts() if part.start == 7] == [3]
    assert len((node.folder / "given-up").read_text().splitlines()) == 1 + again


def test_a_store_that_is_empty_lacks_nothing_of_what_was_before_the_log(node: Node) -> None:
    node.last = node.copied = 7
    node.write(2)
    node.shipper.turn()
    assert [(part.start, part.lacks) for part in node.parts()] == [(7, None)]
    assert not (node.folder / "given-up").exists()


def test_a_file_that_nothing_can_pack_just_now_is_not_stored_as_an_empty_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked next what is stored would take it for whole, and remove it here."""
    real, begun = subprocess.Popen, []

    def popen(words: list[str], **how: Any) -> subprocess.Popen[bytes]:
        if words[0] == "zstd":
            raise OSError("Cannot allocate memory")
        begun.append(words)
        return real(words, **how)

    node.write(3)
    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(OSError, match="allocate"):
        node.shipper.turn()
    assert not [words for words in begun if "rcat" in words]


def test_no_file_is_ended_while_writes_wait_for_a_replica(node: Node) -> None:
    node.write(3)
    node.waiting = "1"
    node.shipper.turn()
    assert not [words for words in node.said if words.startswith("flush")]
    assert node.stored() == []


def test_a_file_that_is_just_being_begun_says_nothing_of_the_one_before_it(node: Node) -> None:
    """Taken for stored, that one would be removed from a volume that fills; and passed over, stored only much later."""
    first, second, begun = node.write(2), node.write(1), node.write(0)
    begun.write_bytes(b"\xfebin")
    shipper = node.shipper
    files = shipper._files()
    assert shipper._known(files) == [(first, 0), (second, 2)]
    shipper.stored = 2
    assert shipper._stored(files) == [first]
    shipper.stored = 1
    assert shipper._stored(files) == []
    node.log(begun, 3, 3)
    assert shipper._known(shipper._files()) == [(first, 0), (second, 2), (begun, 3)]


def test_a_file_in_whose_beginning_the_server_was_killed_hides_nothing_of_the_one_before_it(node: Node) -> None:
    node.write(2)
    node.write(0).write_bytes(b"\xfebin")
    node.write(1)
    node.shipper.turn()
    assert node.stored() == [(1, 0, 2), (1, 2, 3)]


def test_the_log_of_a_server_that_was_made_anew_is_another_one_under_the_same_names(node: Node) -> None:
    """Stored as what the old one had, it would hide in a restore all that was written before it began."""
    node.write(2)
    node.shipper._ask("select 1")
    assert [begins for _, begins in node.shipper._known(node.shipper._files())] == [0]
    node.copied = 475
    node.log(node.folder / "binlog.000001", 475, 476)
    with answering(node.socket, node.answer):
        node.shipper._server.close()  # as it ended
        with pytest.raises(Exception, match="does not answer"):
            node.shipper._ask("select 1")
        node.leads = False
        node.shipper.turn()
        assert [begins for _, begins in node.shipper._known(node.shipper._files())] == [475]


def test_only_what_is_really_gone_from_a_full_volume_is_noted_as_given_up(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server removes no file that a replica is reading: that one may still be stored."""
    monkeypatch.setattr(mariadb_ship, "RESERVE", 2.0)
    files = [node.write(1) for _ in range(11)]
    node.shipper._ask("select 1")
    node.shipper._files()
    node.shipper.ships, node.purges = True, False
    node.shipper._purge(files)
    assert node.said[-1] == "purge binary logs to 'binlog.000002'"
    assert not (node.folder / "given-up").exists()
    node.purges = True
    node.shipper._purge(files)
    assert (node.folder / "given-up").read_text().split()[1:] == ["binlog.000001"]


@pytest.mark.parametrize("leads", [True, False], ids=["leads", "replica"])
def test_a_store_that_does_not_even_say_what_it_has_fills_no_volume(
    node: Node, monkeypatch: pytest.MonkeyPatch, leads: bool
) -> None:
    """Who leads since it is away; and a replica, on whose volume the log is as large: with both full, writes wait."""
    from ccx_agent.mariadb_store import StoreFailed

    def away(_under: str) -> list[str]:
        raise StoreFailed("dial tcp: connection refused")

    monkeypatch.setattr(mariadb_ship, "RESERVE", 2.0)
    monkeypatch.setattr(node.shipper.store, "names", away)
    node.leads = leads
    for _ in range(11):
        node.write(1)
    with pytest.raises(StoreFailed):
        node.shipper.turn()
    assert node.said[-1] == "purge binary logs to 'binlog.000002'"
    assert (node.folder / "given-up").read_text().split()[1:] == ["binlog.000001"]
