"""MySQL's and Percona Server's binary log: which transactions a file has, and which were before it.

Each server counts its own transactions, so that a transaction's number is not in its name. It is its place in the
history: how many there are up to it. A file begins with a set of those that this server's log had before, and each
that follows is one more. What came to a server with a copy is in no log of its own: that it has besides.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from .binlog import FORMAT, Transaction, Unreadable, events
from .mysql_gtid import GtidSet, Spans

_GTID, _BEFORE, _TAGGED = 33, 35, 42
_ENTRY, _SPAN, _COUNT = 16, struct.Struct("<QQ"), struct.Struct("<Q")
_LONGEST_TAG = 32
_MICROSECONDS = 1e6
_TWO_TIMES = 1 << 55
"""That bit of when it was committed says that when it was committed first, elsewhere, follows."""
_CHECKSUM = 4


@dataclass(frozen=True)
class MySqlLog:
    """Implements :class:`ccx_agent.backed.Log`.

    ``before``: what the server has and its log has not any more, or never had: ``@@gtid_purged``, asked for before a
    file is read. With each file that is removed it grows by what that file had; so it fits all files that are there.
    """

    before: GtidSet = field(default_factory=lambda: GtidSet({}))

    def number(self, position: str) -> int:
        return len(GtidSet.parse(position))

    def place(self, gtid: str) -> int | None:
        """That is found in the log only."""
        return None

    def has(self, position: str, gtid: str) -> bool:
        return not len(GtidSet.parse(gtid) - GtidSet.parse(position))

    def head(self, file: Path) -> int | None:
        """The last transaction before the file."""
        with file.open("rb") as log:
            for kind, body, _, _ in events(log, bodies=(_BEFORE,)):
                if kind == _BEFORE:
                    return len(self.before | before(body))
                if kind != FORMAT:
                    break
        raise Unreadable(f"{file.name} has no set of transactions at its beginning")

    def ends_with(self, file: Path) -> int:
        """The last transaction of the file, or before it where it has none."""
        begins = self.head(file) or 0
        return max((one.number for one in self.transactions(file, begins)), default=begins)

    def transactions(self, file: Path, behind: int) -> Iterator[Transaction]:
        """Those of the file, in order; it begins ``behind`` that one. Their times are when they were committed."""
        number = behind
        with file.open("rb") as log:
            for kind, body, _, offset in events(log, bodies=(_GTID, _TAGGED)):
                if kind in (_GTID, _TAGGED):
                    number += 1
                    gtid, time = _tagged(body) if kind == _TAGGED else _plain(body)
                    yield Transaction(gtid, number, time, offset)

    def too_late(self, moment: float) -> float:
        return moment


def before(body: bytes) -> GtidSet:
    """The set at a file's beginning. Since 8.3 it may have tags, which its first number says then."""
    try:
        (count,) = _COUNT.unpack_from(body)
        form, at, found = count >> 56, _COUNT.size, {}
        if form not in (0, 1):
            raise Unreadable(f"a set of transactions of an unknown form: {form}")
        for _ in range((count & (1 << 56) - 1) >> 8 if form else count):
            name, at = str(UUID(bytes=body[at : at + _ENTRY])), at + _ENTRY
            if form:
                size, at = _number(body, at)
                tag, at = body[at : at + size].decode("ascii"), at + size
                name = f"{name}:{tag}" if tag else name
            (spans,) = _COUNT.unpack_from(body, at)
            at += _COUNT.size
            found[name] = _spans(body, at, spans)
            at += spans * _SPAN.size
    except (struct.error, ValueError) as error:
        raise Unreadable(f"a set of transactions that is not whole: {error}") from None
    return GtidSet(found)


def _spans(body: bytes, at: int, count: int) -> Spans:
    """What is written there ends behind the last one."""
    if at + count * _SPAN.size > len(body):
        raise ValueError(f"{count} spans at {at} of {len(body)} bytes")
    return tuple((first, end - 1) for first, end in _SPAN.iter_unpack(body[at : at + count * _SPAN.size]))


def _plain(body: bytes) -> tuple[str, float]:
    """Flags, server, number, kind of clock, and for the usual kind the clock and when it was committed."""
    gtid = f"{UUID(bytes=body[1:17])}:{_COUNT.unpack_from(body, 17)[0]}"
    committed, at = int.from_bytes(body[42:49], "little"), 49
    if committed & _TWO_TIMES:
        committed = int.from_bytes(body[at : at + 7], "little")
    return gtid, committed / _MICROSECONDS


def _tagged(body: bytes) -> tuple[str, float]:
    """Numbered fields, each after its number, in order: flags, server, number, tag, clock (two), committed, and first.

    The last one is left out where it is the same as the one before.
    """
    try:
        at = 0
        for _ in range(3):  # version, size, the last field that must be understood
            _, at = _number(body, at)
        fields: dict[int, int] = {}
        server, tag = b"", ""
        while at < len(body) - _CHECKSUM:
            what, at = _number(body, at)
            if what == 1:
                octets = []
                for _ in range(_ENTRY):
                    octet, at = _number(body, at)
                    octets.append(octet)
                server = bytes(octets)
            elif what == 3:
                size, at = _number(body, at)
                tag, at = body[at : at + size].decode("ascii"), at + size
            elif what <= 7:
                fields[what], at = _number(body, at)
            else:
                break
        number, committed = _signed(fields[2]), fields.get(7, fields[6])
        return f"{UUID(bytes=server)}:{tag}:{number}", committed / _MICROSECONDS
    except (KeyError, IndexError, ValueError) as error:
        raise Unreadable(f"a tagged transaction that can't be read: {type(error).__name__} {error}") from None


def _number(body: bytes, at: int) -> tuple[int, int]:
    """As many bytes follow the first one as it has ones at its end; and where the next thing begins."""
    if at >= len(body):
        raise ValueError(f"it ends at {len(body)}")
    first = body[at]
    more = next((bit for bit in range(8) if not first >> bit & 1), 8)
    if at + 1 + more > len(body):
        raise ValueError(f"it ends at {len(body)}")
    if more == 8:
        return int.from_bytes(body[at + 1 : at + 9], "little"), at + 9
    return int.from_bytes(body[at : at + 1 + more], "little") >> more + 1, at + 1 + more


def _signed(value: int) -> int:
    """Numbers that may be negative have their sign in the last bit."""
    return value >> 1 if not value & 1 else -(value >> 1) - 1
