"""Sets of transactions as MySQL names them, ``server:1-5:7,other:1``, and what a server's set means in a term. Pure.

MariaDB's positions are numbers of one sequence, and need none of this. Here each server counts its own transactions, so
a set may lack some in the middle, or hold some that nobody else has: errant ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .keeper_rules import Server, Term

Spans = tuple[tuple[int, int], ...]
"""First and last, ascending, none touching the next."""


@dataclass(frozen=True)
class GtidSet:
    """By server, or by server and tag: ``uuid``, ``uuid:tag``."""

    spans: dict[str, Spans]

    @classmethod
    def parse(cls, text: str) -> GtidSet:
        """Raises ValueError for what is none."""
        found: dict[str, list[tuple[int, int]]] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, *rest = part.lower().split(":")
            for field in rest:
                if field[:1].isdigit():
                    first, _, last = field.partition("-")
                    found.setdefault(name, []).append((int(first), int(last or first)))
                else:  # a tag, of all that follows
                    name = f"{name.split(':')[0]}:{field}"
        return cls({name: _merged(spans) for name, spans in found.items()})

    def __or__(self, other: GtidSet) -> GtidSet:
        names = {*self.spans, *other.spans}
        return GtidSet({name: _merged([*self.spans.get(name, ()), *other.spans.get(name, ())]) for name in names})

    def __sub__(self, other: GtidSet) -> GtidSet:
        left = {name: _without(spans, other.spans.get(name, ())) for name, spans in self.spans.items()}
        return GtidSet({name: spans for name, spans in left.items() if spans})

    def without(self, server: str) -> GtidSet:
        """All but that server's, whatever their tags."""
        return GtidSet({name: s for name, s in self.spans.items() if name.split(":")[0] != server.lower()})

    def __len__(self) -> int:
        return sum(last - first + 1 for spans in self.spans.values() for first, last in spans)

    def __str__(self) -> str:
        """As the server writes it."""
        return ",".join(
            f"{name}:" + ":".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
            for name, spans in sorted(self.spans.items())
        )


def in_term(server: Server, term: Term | None) -> Server:
    """What the server has of the history that counts, and what else it has.

    In a term everybody may have what its primary began with, and what that primary has written since. Anything else is
    errant: it was never acknowledged, and does not make its holder one who has more than others.
    """
    if term is None or not term.origin:
        return server
    errant = (GtidSet.parse(server.history) - GtidSet.parse(term.history)).without(term.origin)
    more = len(errant)
    return replace(server, received=server.received - more, applied=server.applied - more, errant=str(errant))


def _merged(spans: Iterable[tuple[int, int]]) -> Spans:
    found: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def _without(spans: Spans, gone: Spans) -> Spans:
    left = list(spans)
    for first, last in gone:
        cut: list[tuple[int, int]] = []
        for a, b in left:
            cut += [(x, y) for x, y in ((a, min(b, first - 1)), (max(a, last + 1), b)) if x <= y]
        left = cut
    return tuple(left)
