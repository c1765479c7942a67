"""MariaDB's binary log as it is kept in the store: in parts, each a whole file of a primary's log.

A part says in its name what it has: of which term (who was primary then), behind which transaction it begins and with
which it ends, by their numbers; there is one domain, and one writer at a time. (Where a node's log has transactions of
its own besides those of all, as a Galera member's may, the domain of the latter is told.) Two primaries' files overlap:
what a replica received stands in its own log too. A primary that was lost may have written what nobody else has, and
what came after is another history. So at each place the newest term that reaches back so far is the one that holds.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_MAGIC = b"\xfebin"
_HEADER = struct.Struct("<IBIIIH")
"""Time, kind, server, length, where the next begins, flags."""
_GTID, _LIST, _FORMAT = 162, 163, 15
_NAME = re.compile(
    r"(?P<term>[0-9A-F]{8})(?P<start>[0-9A-F]{16})-(?P<digest>[0-9a-f]{40})-(?P<last>[0-9A-F]{16})-(?P<until>[0-9a-f]+)"
    r"-(?P<label>[a-z0-9]+)-(?P<file>[^/]+?)\.zst"
)


class Unreadable(Exception):
    """It is no binary log, or not whole."""


@dataclass(frozen=True)
class Part:
    """A file of the log in the store."""

    term: int
    start: int
    """It has what follows this transaction."""
    last: int
    until: int
    """It was closed then: all of it was committed before that time (seconds since 1970)."""
    digest: str
    """Of the file: the first 40 digits of its SHA-256."""
    label: str
    """The node that wrote it."""
    file: str
    branch: int = 0
    """Which of the logs it is of, where several follow each other."""

    @property
    def name(self) -> str:
        return (
            f"{self.term:08X}{self.start:016X}-{self.digest}-{self.last:016X}-{self.until:x}-{self.label}"
            f"-{self.file}.zst"
        )

    @property
    def age(self) -> tuple[int, int]:
        return self.branch, self.term


@dataclass(frozen=True)
class Piece:
    """What to replay of a part: what follows transaction ``after``, up to ``to``."""

    part: Part
    after: int
    to: int


@dataclass(frozen=True)
class Transaction:
    gtid: str
    number: int
    time: int
    """When its last statement began, in seconds since 1970: not when it was committed."""
    offset: int


def parse(name: str, branch: int = 0) -> Part | None:
    """From an object's name; None for what is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    term, start, last, until = (int(found[key], 16) for key in ("term", "start", "last", "until"))
    return Part(term, start, last, until, found["digest"], found["label"], found["file"], branch)


def number(position: str, domain: int | None = None) -> int:
    """The last transaction's number in a position such as ``0-10001-57``; 0 for none. ``domain``: of that one only."""
    parts = (part.split("-") for part in position.split(",") if part.strip())
    return max((int(sequence) for of, _, sequence in parts if domain in (None, int(of))), default=0)


def route(parts: Sequence[Part], after: int, goal: int | None = None) -> list[Piece]:
    """What to replay, in order, behind transaction ``after``, up to ``goal`` or as far as it goes without a gap."""
    starts: dict[tuple[int, int], list[int]] = {}
    furthest: dict[tuple[int, int], list[Part]] = {}
    for part in sorted(parts, key=lambda one: one.start):
        starts.setdefault(part.age, []).append(part.start)
        # Of those that start there or before, the one that reaches furthest.
        reach = furthest.setdefault(part.age, [])
        reach.append(max([part, *reach[-1:]], key=lambda one: one.last))
    pieces: list[Piece] = []
    while goal is None or after < goal:
        holds = max((age for age, at in starts.items() if at[0] <= after), default=None)
        if holds is None:
            break
        part = furthest[holds][bisect_right(starts[holds], after) - 1]
        if part.last <= after:
            break
        later = min((at[0] for age, at in starts.items() if age > holds and at[0] > after), default=part.last)
        to = min(part.last, later, part.last if goal is None else goal)
        pieces.append(Piece(part, after, to))
        after = to
    return pieces


def in_store(parts: Sequence[Part], term: int, behind: int) -> int:
    """Up to which transaction the store has the history of ``term``, which began ``behind`` one.

    Of the terms before, the newest says so: an older one may have stored more, which was lost then.
    """
    newest = max((part.term for part in parts if part.term <= term), default=term)
    last = max((part.last for part in parts if part.term == newest), default=0)
    return last if newest == term else min(last, behind)


def gap(parts: Sequence[Part], after: int) -> bool:
    """Whether there is more behind the place where the route from ``after`` ends."""
    pieces = route(parts, after)
    end = pieces[-1].to if pieces else after
    newest = max((part.age for part in parts), default=None)
    return any(part.age == newest and part.last > end for part in parts)


def needless(parts: Sequence[Part], after: int) -> list[Part]:
    """Those that nobody needs who begins behind ``after`` or later.

    The last part of the term that holds there stays: without it an older term would seem to hold.
    """
    reaching = [part for part in parts if part.start <= after]
    holds = max(reaching, key=lambda part: (part.age, part.last), default=None)
    return [part for part in parts if part.last <= after and part != holds]


def head(file: Path, domain: int | None = None) -> int | None:
    """The last transaction before the file, by the list at its beginning; without one, by the first that is in it.

    None: there is neither. A copy's first file has no list: what was before is in no log of that node's.
    """
    with file.open("rb") as log:
        listed = False
        for kind, body, _, _ in _events(log, bodies=(_LIST, _GTID)):
            if kind == _LIST:
                listed = True
                count = struct.unpack_from("<I", body)[0] & 0x0FFFFFFF
                entries = struct.iter_unpack("<IIQ", body[4 : 4 + 16 * count])
                before = [sequence for of, _, sequence in entries if domain in (None, of)]
                if before:
                    return int(max(before))
            elif kind != _FORMAT and not listed:
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
        for kind, body, (time, server), offset in _events(log, bodies=(_GTID,)):
            if kind == _GTID:
                sequence, of = struct.unpack_from("<QI", body)
                if domain in (None, of):
                    yield Transaction(f"{of}-{server}-{sequence}", sequence, time, offset)


def _events(log: IO[bytes], bodies: tuple[int, ...]) -> Iterator[tuple[int, bytes, tuple[int, int], int]]:
    """Kind, body (of those kinds only), time and server, and where it stands."""
    if log.read(4) != _MAGIC:
        raise Unreadable("it is no binary log")
    offset = 4
    while head := log.read(_HEADER.size):
        if len(head) < _HEADER.size:
            raise Unreadable("it ends in the middle of an event")
        time, kind, server, length, _, _ = _HEADER.unpack(head)
        if length < _HEADER.size:
            raise Unreadable(f"an event of {length} bytes at {offset}")
        body = log.read(length - _HEADER.size) if kind in bodies else b""
        if kind in bodies and len(body) < length - _HEADER.size:
            raise Unreadable("it ends in the middle of an event")
        yield kind, body, (time, server), offset
        offset += length
        log.seek(offset)
