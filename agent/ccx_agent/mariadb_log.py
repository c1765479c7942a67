"""MariaDB's binary log: which transactions a file has, and which were before it.

A transaction's number is its own: there is one domain, and one writer at a time. Where a node's log has transactions of
its own besides those of all, as a Galera member's may, the domain of the latter is told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .binlog import FORMAT, Transaction, Unreadable, events

_GTID, _LIST = 162, 163


def number(position: str, domain: int | None = None) -> int:
    """The last transaction's number in a position such as ``0-10001-57``; 0 for none. ``domain``: of that one only."""
    parts = (part.split("-") for part in position.split(",") if part.strip())
    return max((int(sequence) for of, _, sequence in parts if domain in (None, int(of))), default=0)


def head(file: Path, domain: int | None = None) -> int | None:
    """The last transaction before the file, by the list at its beginning; without one, by the first that is in it.

    None: there is neither. A copy's first file has no list: what was before is in no log of that node's.
    """
    with file.open("rb") as log:
        listed = False
        for kind, body, _, _ in events(log, bodies=(_LIST, _GTID)):
            if kind == _LIST:
                listed = True
                count = struct.unpack_from("<I", body)[0] & 0x0FFFFFFF
                entries = struct.iter_unpack("<IIQ", body[4 : 4 + 16 * count])
                before = [sequence for of, _, sequence in entries if domain in (None, of)]
                if before:
                    return int(max(before))
            elif kind != FORMAT and not listed:
                break
            elif kind == _GTID:
                sequence, of = struct.unpack_from("<QI", body)
                if domain in (None, of):
                    return int(sequence) - 1
    if not listed:
        raise Unreadable(f"{file.name} has no list of transactions at its beginning")
    return None


def begins_behind(file: Path, domain: int | None = None) -> int:
    """The last transaction before the file; 0 where that is not known, and nothing is in it."""
    return head(file, domain) or 0


def ends_with(file: Path, domain: int | None = None) -> int:
    """The last transaction of the file, or before it where it has none."""
    return max((one.number for one in transactions(file, domain)), default=begins_behind(file, domain))


def transactions(file: Path, domain: int | None = None) -> Iterator[Transaction]:
    """Those of the file, in order."""
    with file.open("rb") as log:
        for kind, body, (time, server), offset in events(log, bodies=(_GTID,)):
            if kind == _GTID:
                sequence, of = struct.unpack_from("<QI", body)
                if domain in (None, of):
                    yield Transaction(f"{of}-{server}-{sequence}", sequence, time, offset)


@dataclass(frozen=True)
class MariaDbLog:
    """Implements :class:`ccx_agent.backed.Log`."""

    domain: int | None = None

    def number(self, position: str) -> int:
        return number(position, self.domain)

    def place(self, gtid: str) -> int | None:
        return number(gtid, self.domain)

    def has(self, position: str, gtid: str) -> bool:
        return number(gtid, self.domain) <= number(position, self.domain)

    def head(self, file: Path) -> int | None:
        return head(file, self.domain)

    def ends_with(self, file: Path) -> int:
        return ends_with(file, self.domain)

    def transactions(self, file: Path, _behind: int) -> Iterator[Transaction]:
        return transactions(file, self.domain)

    def too_late(self, moment: float) -> float:
        """A transaction's time is when its last statement began, and known to the second."""
        return int(moment)
