"""Places in an engine's log, as people write them. Pure.

PostgreSQL's are between bytes (``1A/2B3C``). MariaDB's are transactions of one sequence (``0-10001-57``), MySQL's
are those of each server (``3e11fa47-…:57``); where the latter is, is a set of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ccx.errors import Invalid

_FIELD = "pitr_stop_lsn"
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_GTID = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,19})")
_SERVER = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TAG = r"[a-z_][a-z0-9_]{0,31}"
_ONE_OF_SERVER = re.compile(rf"({_SERVER}(?::{_TAG})?):(\d{{1,19}})")
_OF_SERVER = re.compile(rf"({_SERVER})((?::(?:{_TAG}|\d{{1,19}}(?:-\d{{1,19}})?))+)")


@dataclass(frozen=True)
class Place:
    number: int
    """The later, the higher."""
    name: str
    """As the engine writes it itself."""
    holds: bool
    """A transaction is there, so that a backup which ends with it has it; else it is the place between two bytes."""
    line: int | str = 0
    """Numbers of two lines have nothing to do with each other."""
    joins: bool = False
    """Its line may have begun after a backup that has nothing of it."""

    def after(self, backups_end: Place) -> bool:
        """Whether what was before this place can be had from a backup that ends at that one."""
        return self.line == backups_end.line and (self.number > backups_end.number or self._at(backups_end))

    def _at(self, other: Place) -> bool:
        return not self.holds and self.number == other.number

    def reached(self, backups_ends: Sequence[Place]) -> bool:
        """Whether what was before this place can be had from a backup that ends at all of those."""
        if self.joins and backups_ends and all(end.line != self.line for end in backups_ends):
            return True
        return any(self.after(end) for end in backups_ends)


def place(kind: str, words: str) -> Place:
    """``kind``: the engine's ``places``. Raises Invalid."""
    one = words.strip()
    found = _of_server(one) if kind == "mysql-gtid" else [] if "," in one else ends(kind, one)
    if len(found) != 1:
        raise Invalid(f"{words!r} is no place in its log", field=_FIELD, remedy=_REMEDIES[kind])
    return found[0]


def ends(kind: str, words: str) -> list[Place]:
    """Where a backup or the log ends: a history of several lines ends in several places. Nothing for nonsense."""
    return [one for part in words.split(",") for one in _READERS[kind](part.strip())]


def example(kind: str) -> str:
    return _REMEDIES[kind].rpartition(": ")[2]


def _lsn(words: str) -> list[Place]:
    if (found := _LSN.fullmatch(words)) is None:
        return []
    return [Place(int(found[1], 16) << 32 | int(found[2], 16), words.upper(), holds=False)]


def _gtid(words: str) -> list[Place]:
    if (found := _GTID.fullmatch(words)) is None:
        return []
    domain, server, number = map(int, found.groups())
    return [Place(number, f"{domain}-{server}-{number}", holds=True, line=domain)]


def _of_server(words: str) -> list[Place]:
    if (found := _ONE_OF_SERVER.fullmatch(words.lower())) is None:
        return []
    return [_last(found[1], int(found[2]))]


def _last_of_server(words: str) -> list[Place]:
    """A server's part of a set may have spans of several tags: the last transaction of each."""
    if (found := _OF_SERVER.fullmatch(words.lower())) is None:
        return []
    line = found[1]
    last: dict[str, int] = {}
    for field in found[2].split(":")[1:]:
        if field[0].isdigit():
            last[line] = max(last.get(line, 0), int(field.rpartition("-")[2]))
        else:
            line = f"{found[1]}:{field}"
    return [_last(line, number) for line, number in last.items()]


def _last(line: str, number: int) -> Place:
    return Place(number, f"{line}:{number}", holds=True, line=line, joins=True)


_READERS = {"lsn": _lsn, "mariadb-gtid": _gtid, "mysql-gtid": _last_of_server}
_REMEDIES = {
    "lsn": "Write it as pg_current_wal_lsn() does: 0/3000148",
    "mariadb-gtid": "Write a GTID, as @@gtid_binlog_pos and mariadb-binlog do: 0-10001-57",
    "mysql-gtid": "Write a GTID, as mysqlbinlog does: 3e11fa47-71ca-11e1-9e33-c80aa9429562:57",
}
