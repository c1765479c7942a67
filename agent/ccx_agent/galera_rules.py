"""What Galera's members do next, from what they see. Pure: no clock, no network, so that every case can be tried.

The group itself decides who belongs to it: a part without the majority refuses everything. Two things are left to us:
which member takes the writes, and who begins when nobody is there any more. A write is acknowledged once all members
have it in memory, and it is on the disk of the one that took it: when all are lost at once, that one may be the only
place. So nobody begins before every member of the last group has said how far its data go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from .labels import place

NOTHING = "00000000-0000-0000-0000-000000000000"
"""The history of a node that has none, or whose copy was not finished."""


class Begin(Enum):
    WAIT = "wait"
    JOIN = "join"
    """The group that there is."""
    BOOTSTRAP = "bootstrap"
    """A group of its own, which the others join."""


@dataclass(frozen=True)
class Start:
    do: Begin
    why: str
    settled: bool = False
    """It is certain who begins: no person has anything to decide."""


@dataclass(frozen=True)
class Position:
    """How far the data of a node go, whose server does not run."""

    history: str = NOTHING
    seqno: int = -1
    view: tuple[str, ...] = ()
    """Members of the last group that it belonged to."""
    view_at: int = -1
    """Where in the history that group was first seen."""

    @property
    def known(self) -> bool:
        return self.history not in ("", NOTHING)


@dataclass(frozen=True)
class Peer:
    """What another node says."""

    serves: bool = False
    """It belongs to a group with the majority."""
    position: Position | None = None
    """Where it stands, if it waits as we do."""
    starts: bool = False
    """Its server does not run yet, and it waits for nobody: it may be about to begin a group."""


def begin(
    me: str, own: Position, nodes: tuple[str, ...], peers: Mapping[str, Peer], *, founding: bool, patient: bool
) -> Start:
    """``nodes``: all labels. ``peers``: of those that answer. ``founding``: the cluster is new, and this is its first.

    ``patient``: others, which were not in the last group, have had the time to say something as well.
    """
    serving = sorted(label for label, peer in peers.items() if peer.serves)
    if serving:
        return Start(Begin.JOIN, f"joins {', '.join(serving)}")
    known = {label: peer.position for label, peer in peers.items() if peer.position is not None and peer.position.known}
    if own.known:
        known[me] = own
    if not known:
        if founding:
            return Start(Begin.BOOTSTRAP, "the first of a new cluster")
        return Start(Begin.WAIT, "there are no data here, and no member of the cluster to get them from")
    if me not in known:
        return Start(Begin.WAIT, f"waits for {_listed(known)}, who have data")
    histories = {position.history for position in known.values()}
    if len(histories) > 1:
        return Start(Begin.WAIT, f"two histories: {_evidence(known)}; a person has to choose one")
    last = max(known.values(), key=lambda position: position.view_at).view
    missing = set(last) - set(known)
    if missing:
        return Start(
            Begin.WAIT,
            f"no word of {_listed(missing)}, where acknowledged writes may be that nobody else has; "
            f"known: {_evidence(known)}",
        )
    absent = set(nodes) - set(known)
    if absent and len(last) * 2 <= len(nodes):
        # A group so small is one that others may have joined in the moment before nobody could note it any more.
        return Start(
            Begin.WAIT, f"no word of {_listed(absent)}, and the last group was a small one; known: {_evidence(known)}"
        )
    if absent and not patient:
        return Start(Begin.WAIT, f"waits a moment for {_listed(absent)}")
    best = max(known, key=lambda label: (known[label].seqno, tuple(-n for n in place(label))))
    if best != me:
        return Start(Begin.WAIT, f"{best} has everything, and is to begin", settled=True)
    return Start(Begin.BOOTSTRAP, f"has everything that was acknowledged: {_evidence(known)}")


def begin_chosen(start: Start, peers: Mapping[str, Peer], *, patient: bool) -> Start | None:
    """What a node does, by :func:`begin`'s word, that a person chose to begin. None: the choice is void.

    The person may have chosen another one a moment before, or that one begins by itself: two groups must never.
    ``patient``: who starts has had the time to serve.
    """
    if start.do is not Begin.WAIT or start.settled:
        return None
    starting = {label for label, peer in peers.items() if peer.starts}
    if starting and not patient:
        return Start(Begin.WAIT, f"a person chose this node, which begins if {_listed(starting)} does not")
    return Start(Begin.BOOTSTRAP, "a person said so")


class Do(Enum):
    WAIT = "wait"
    OPEN = "open"
    """Accept writes."""
    CLOSE = "close"
    """Accept no more."""
    CLAIM = "claim"
    """Become the one that accepts them, if nobody was faster."""
    END = "end"
    """End the server, which serves nobody: it starts again, together with those that wait or with other data."""
    RESYNC = "resync"
    """Have the group wait for this member again."""


@dataclass(frozen=True)
class Action:
    do: Do
    why: str


@dataclass(frozen=True)
class Server:
    """The server on this node, by its own word."""

    running: bool = True
    writable: bool = False
    ready: bool = False
    """It answers queries: it belongs to a group with the majority, and its data are whole."""
    state: str = ""
    """Galera's word: ``Synced``, ``Donor/Desynced``, ``Joined`` …"""
    members: tuple[str, ...] = ()
    """Labels of the group."""
    writer: str | None = None
    """Who is said to accept writes; None when that was never said."""
    abandoned: bool = False
    """The group does not wait for it, as it does not while its data are copied; and nobody copies them any more."""

    @property
    def serves(self) -> bool:
        # One that catches up with the group answers, unlike one that only joins it: that is not ready.
        return self.running and self.ready and self.state in (IN_STEP, "Donor/Desynced", "Joined")


IN_STEP, PUT_OUT = "Synced", "Inconsistent"


PATIENCE = 0.7
"""Seconds that the better placed have for claiming, each."""


def decide(me: str, server: Server, without_writer: float, without_group: float, waiting: tuple[str, ...]) -> Action:
    """``without_writer``, ``without_group``: seconds for which the writer was no member, and there was no group.

    ``waiting``: others, whose servers don't run because they wait for somebody who has data.
    """
    action = _writing(me, server, without_writer, without_group, waiting)
    if action.do is Do.WAIT and server.serves and server.abandoned:
        return Action(Do.RESYNC, "its data are not copied any more")
    return action


def _writing(me: str, server: Server, without_writer: float, without_group: float, waiting: tuple[str, ...]) -> Action:
    """What comes first: who accepts writes."""
    if not server.running:
        return Action(Do.WAIT, "the server does not run yet")
    if server.state == PUT_OUT:
        # It stays out for ever, running; what it has is marked as no member's, so that the next start copies anew.
        return Action(Do.END, "its data are not the group's any more")
    if not server.serves:
        if server.writable:
            return Action(Do.CLOSE, "belongs to no group with a majority")
        if waiting and not server.ready and without_group > _TOO_LONG:
            return Action(Do.END, f"belongs to no group, and {_listed(waiting)} can't begin without it")
        return Action(Do.WAIT, f"does not serve: {server.state or 'no group with a majority'}")
    if server.writer == me:
        return Action(Do.WAIT, "accepts writes") if server.writable else Action(Do.OPEN, "is to accept writes")
    if server.writable:
        return Action(Do.CLOSE, f"{server.writer or 'nobody'} accepts writes")
    if server.writer in server.members:
        return Action(Do.WAIT, f"{server.writer} accepts writes")
    if without_writer < PATIENCE * _rank(me, server):
        return Action(Do.WAIT, f"{server.writer or 'nobody'} accepts no writes any more: others are to first")
    return Action(Do.CLAIM, f"{server.writer or 'nobody'} accepts no writes any more")


_TOO_LONG = 3.0


def _rank(me: str, server: Server) -> int:
    """Who is out of step has to catch up first: after all others."""
    members = server.members
    behind = 0 if server.state == IN_STEP else len(members)
    return behind + (sorted(members, key=place).index(me) if me in members else len(members))


def donors(peers: Mapping[str, tuple[bool, str]]) -> tuple[list[str], bool]:
    """Who may give a copy, by ``(serves, state)``: never who accepts writes, while there is another.

    The best first; and whether these are all who serve, so that a group may choose among all.
    """
    serving = sorted((label for label, (serves, _) in peers.items() if serves), key=place)
    others = [label for label in serving if peers[label][1] != "writer"]
    return (others, False) if others else (serving, True)


def _listed(labels: object) -> str:
    return ", ".join(sorted(labels, key=place))  # type: ignore[call-overload]


def _evidence(known: Mapping[str, Position]) -> str:
    return ", ".join(f"{label} at {known[label].history[:8]}:{known[label].seqno}" for label in sorted(known))
