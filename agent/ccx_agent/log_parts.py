"""A binary log as it is kept in the store: in parts, each a whole file of a primary's log. Of every server. Pure.

A part says in its name what it has: of which term (who was primary then), behind which transaction it begins and with
which it ends, by their numbers: their places in the history, in which one writes at a time. Two primaries' files
overlap: what a replica received stands in its own log too. A primary that was lost may have written what nobody else
has, and what came after is another history. So at each place the newest term that reaches back so far is the one that
holds. A node whose data were made anew has no log of before; where it goes on behind a term that stored nothing, what
older terms have up to there may be what was lost: its part says so, and nobody goes on from them to it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

_NAME = re.compile(
    r"(?P<term>[0-9A-F]{8})(?P<start>[0-9A-F]{16})-(?P<digest>[0-9a-f]{40})-(?P<last>[0-9A-F]{16})-(?P<until>[0-9a-f]+)"
    r"-(?P<label>[a-z0-9]+)-(?P<file>[^/]+?)(-(?P<lacks>[0-9A-F]{16}))?\.zst"
)


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
    lacks: int | None = None
    """What is between this transaction and its start was nowhere when it was stored; None: it goes on without a gap."""
    branch: int = 0
    """Which of the logs it is of, where several follow each other."""

    @property
    def name(self) -> str:
        lacks = "" if self.lacks is None else f"-{self.lacks:016X}"
        return (
            f"{self.term:08X}{self.start:016X}-{self.digest}-{self.last:016X}-{self.until:x}-{self.label}"
            f"-{self.file}{lacks}.zst"
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


def parse(name: str, branch: int = 0) -> Part | None:
    """From an object's name; None for what is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    term, start, last, until = (int(found[key], 16) for key in ("term", "start", "last", "until"))
    lacks = int(found["lacks"], 16) if found["lacks"] else None
    return Part(term, start, last, until, found["digest"], found["label"], found["file"], lacks, branch)


def route(parts: Sequence[Part], after: int, goal: int | None = None) -> list[Piece]:
    """What to replay, in order, behind transaction ``after``, up to ``goal`` or as far as it goes without a gap."""
    starts: dict[tuple[int, int], list[int]] = {}
    furthest: dict[tuple[int, int], list[Part]] = {}
    for part in sorted(parts, key=lambda one: one.start):
        starts.setdefault(part.age, []).append(part.start)
        # Of those that start there or before, the one that reaches furthest.
        reach = furthest.setdefault(part.age, [])
        reach.append(max([part, *reach[-1:]], key=lambda one: one.last))
    lacking = [part for part in parts if part.lacks is not None]
    pieces: list[Piece] = []
    while goal is None or after < goal:
        holds = max((age for age, at in starts.items() if at[0] <= after), default=None)
        if holds is None or (pieces and _apart(lacking, pieces[-1].part.age, holds, after)):
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

    Of the terms before, the newest says so: an older one may have stored more, which was lost then. Where terms between
    that one and this stored nothing, nobody can say how much of it they lost: all that it wrote is stored once more.
    """
    newest = max((part.term for part in parts if part.term <= term), default=term)
    of_newest = [part for part in parts if part.term == newest]
    last = max((part.last for part in of_newest), default=0)
    if newest == term:
        return last
    return min(behind, last if newest == term - 1 else min(part.start for part in of_newest))


def _apart(parts: Sequence[Part], older: tuple[int, int], newer: tuple[int, int], at: int) -> bool:
    """Whether nobody knows that what ``older`` has up to there is of the history of ``newer``."""
    return any(older < part.age <= newer and part.lacks is not None and part.lacks < at for part in parts)


def gap(parts: Sequence[Part], after: int) -> bool:
    """Whether there is more behind the place where the route from ``after`` ends, or another history."""
    pieces = route(parts, after)
    end = pieces[-1].to if pieces else after
    newest = max((part.age for part in parts), default=(0, 0))
    more = any(part.age == newest and part.last > end for part in parts)
    return more or (bool(pieces) and _apart(parts, pieces[-1].part.age, newest, end))


def needless(parts: Sequence[Part], after: int) -> list[Part]:
    """Those that nobody needs who begins behind ``after`` or later.

    The last part of the term that holds there stays: without it an older term would seem to hold.
    """
    reaching = [part for part in parts if part.start <= after]
    holds = max(reaching, key=lambda part: (part.age, part.last), default=None)
    return [part for part in parts if part.last <= after and part != holds]
