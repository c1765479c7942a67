"""Places in an engine's log, as people write them: PostgreSQL's bytes (``1A/2B3C``), MariaDB's transactions. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccx.errors import Invalid

_FIELD = "pitr_stop_lsn"
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_GTID = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,19})")


@dataclass(frozen=True)
class Place:
    number: int
    """The later, the higher."""
    name: str
    """As the engine writes it itself."""
    holds: bool
    """A transaction is there, so that a backup which ends with it has it; else it is the place between two bytes."""
    line: int = 0
    """Numbers of two lines have nothing to do with each other."""

    def after(self, backups_end: Place) -> bool:
        """Whether what was before this place can be had from a backup that ends at that one."""
        return self.line == backups_end.line and (self.number > backups_end.number or self._at(backups_end))

    def _at(self, other: Place) -> bool:
        return not self.holds and self.number == other.number


def place(speaks: str, words: str) -> Place:
    """``speaks``: what clients talk to the engine in. Raises Invalid."""
    found = ends(speaks, words)
    if len(found) != 1:
        raise Invalid(f"{words!r} is no place in its log", field=_FIELD, remedy=_REMEDIES[speaks])
    return found[0]


def ends(speaks: str, words: str) -> list[Place]:
    """Where a backup or the log ends: a history of several lines ends in several places. Nothing for nonsense."""
    found = [_READERS[speaks](one.strip()) for one in words.split(",")]
    return [one for one in found if one is not None]


def _lsn(words: str) -> Place | None:
    if (found := _LSN.fullmatch(words)) is None:
        return None
    return Place(int(found[1], 16) << 32 | int(found[2], 16), words.upper(), holds=False)


def _gtid(words: str) -> Place | None:
    if (found := _GTID.fullmatch(words)) is None:
        return None
    domain, server, number = map(int, found.groups())
    return Place(number, f"{domain}-{server}-{number}", holds=True, line=domain)


_READERS = {"postgresql": _lsn, "mysql": _gtid}
_REMEDIES = {
    "postgresql": "Write it as pg_current_wal_lsn() does: 0/3000148",
    "mysql": "Write a GTID, as @@gtid_binlog_pos and mariadb-binlog do: 0-10001-57",
}
