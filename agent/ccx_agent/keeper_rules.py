"""What a keeper does next, from what it sees. Pure: no clock, no network, so that every case can be tried.

A write is acknowledged only when one replica at least has received it (semi-synchronous, without a time limit where
there are three nodes). So it is safe to promote a replica when either nobody else can have acknowledged anything that
it lacks, or the last primary itself takes up its work again. The term counts primaries: whoever begins one writes down
where it begins, and a report of "I receive no more" is worth something in the term that it was made in, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .labels import place


class Do(Enum):
    WAIT = "wait"
    STAND = "stand"
    """Take the leadership, if nobody was faster."""
    APPLY = "apply"
    """Go on applying what is here."""
    PROMOTE = "promote"
    """Accept writes."""
    FENCE = "fence"
    """End the server at once: it may no longer accept writes. It comes back read-only."""
    FOLLOW = "follow"
    """Replicate from the leader."""
    FREEZE = "freeze"
    """Receive no more, and say so."""
    REBUILD = "rebuild"
    """Give up the data for a copy of the leader's."""


@dataclass(frozen=True)
class Action:
    do: Do
    why: str
    """In words, for the status and the journal."""


@dataclass(frozen=True)
class Server:
    """The server on this node, by its own word."""

    running: bool = True
    writable: bool = False
    """While it doesn't run, or is silent: as it was when it was asked last."""
    received: int = 0
    """Number of the last transaction that is here, applied or not."""
    applied: int = 0
    source: str = ""
    """Address that it replicates from, running or not; empty: from nobody."""
    receiving: bool = False
    applying: bool = False
    stuck: str = ""
    """Why it can never go on from its source: its history is another one, or the source no longer has the beginning."""
    behind: bool = False
    """It is the latter alone: the source has all that is here."""
    history: str = ""
    """All transactions that are here, where numbers alone don't say which; and what those of its own are called by."""
    origin: str = ""
    errant: str = ""
    """Those that the leader's history has not: never acknowledged, and to be given up."""


@dataclass(frozen=True)
class Term:
    number: int
    leader: str
    start: int
    """Number of the last transaction before it."""
    history: str = ""
    """The transactions before it, by a :class:`Server`'s word; and what the leader's own are called by."""
    origin: str = ""


@dataclass(frozen=True)
class Report:
    """What a node said of itself: in ``term`` it has received this much, and receives no more."""

    term: int
    received: int


@dataclass(frozen=True)
class Seen:
    """The cluster, as etcd has it."""

    me: str
    nodes: Mapping[str, str]
    """Addresses by label."""
    leader: str | None
    term: Term | None
    """None before there has ever been a primary."""
    frozen: Mapping[str, Report] = field(default_factory=dict)
    """By label, of nodes whose keepers live."""
    hand_to: str = ""
    """Whom the last primary wants to have after it."""
    handed: int = 0
    """Number of the last transaction that it had then."""


def decide(server: Server, seen: Seen) -> Action:
    if not server.running and server.writable and seen.leader != seen.me:
        return Action(Do.FENCE, f"{seen.leader or 'nobody'} leads, and this one is silent and may accept writes")
    if not server.running:
        return Action(Do.WAIT, "the server does not run yet")
    if seen.leader == seen.me:
        return _leading(server)
    if server.writable:
        return Action(Do.FENCE, f"{seen.leader or 'nobody'} leads, and this one accepts writes")
    if seen.leader is not None:
        return _following(server, seen.leader, seen.nodes.get(seen.leader, ""))
    return _electing(server, seen)


def _leading(server: Server) -> Action:
    if server.writable:
        return Action(Do.WAIT, "accepts writes")
    if server.applied < server.received:
        why = f"applies what it has received: {server.received - server.applied} transactions to go"
        return Action(Do.WAIT if server.applying else Do.APPLY, why)
    return Action(Do.PROMOTE, "leads, and has applied everything that it has received")


def _following(server: Server, leader: str, address: str) -> Action:
    if not address:
        return Action(Do.WAIT, f"{leader} leads, and is no member")
    if server.errant:
        return Action(Do.REBUILD, f"has transactions that {leader} has not: {server.errant[:300]}")
    if server.source == address and server.stuck:
        return Action(Do.REBUILD, server.stuck)
    if server.source != address or not (server.receiving and server.applying):
        return Action(Do.FOLLOW, f"{leader} leads")
    return Action(Do.WAIT, f"follows {leader}")


def _electing(server: Server, seen: Seen) -> Action:
    term = seen.term
    if term is None:
        first = min(seen.nodes, key=place, default="")
        return Action(Do.STAND, "the first primary") if seen.me == first else Action(Do.WAIT, f"{first} is to be first")
    if seen.me not in seen.nodes:
        return Action(Do.WAIT, "is no member")
    if term.leader == seen.me and seen.hand_to in ("", seen.me) and server.received >= term.start:
        return Action(Do.STAND, "led last, so it has every acknowledged write")
    if len(seen.nodes) < 3 and seen.hand_to != seen.me and term.leader in seen.nodes:
        return Action(Do.WAIT, f"{term.leader} led last; of two nodes neither can tell which one is cut off")
    own = seen.frozen.get(seen.me)
    if own is None or own.term != term.number:
        return Action(Do.FREEZE, f"{term.leader} leads no more")
    return _standing(server, seen, term)


def _standing(server: Server, seen: Seen, term: Term) -> Action:
    heard = {label: r.received for label, r in seen.frozen.items() if r.term == term.number and label in seen.nodes}
    missing = sorted(set(seen.nodes) - {term.leader} - set(heard))
    if missing:
        return Action(Do.WAIT, f"{', '.join(missing)} may have acknowledged writes that nobody else has")
    best = max(heard, key=lambda label: (heard[label], label == seen.hand_to, tuple(-n for n in place(label))))
    if heard[best] < term.start:
        return Action(Do.WAIT, f"nobody has what {term.leader} began with")
    if best != seen.me:
        return Action(Do.WAIT, f"{best} has received most")
    if len(seen.nodes) < 3 and seen.hand_to == seen.me and server.received < seen.handed:
        # A primary of two goes on without its replica, and acknowledges alone.
        return Action(Do.WAIT, f"{term.leader} has acknowledged writes that are not here")
    return Action(Do.STAND, "has received everything that was acknowledged")
