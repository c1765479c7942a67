"""When a primary is lost: make sure that it is off, and only then end its leadership.

It fences only when the cloud says that the machine is off, or when the control plane *and* a majority of the node's
peers have lost it; and then by having the cloud turn it off and confirm. A node that can't be fenced is left to the
engine's own lease. A control plane that alone can't reach a node changes nothing, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import structlog

from ccx import jobs
from ccx.clouds.base import ServerState
from ccx.cmon.spec import ClusterSpec
from ccx.errors import CcxError, Transient
from ccx.runner.subject import Subject
from ccx.stores import audit
from ccx.stores.models import Node

log = structlog.get_logger()


class Outcome(StrEnum):
    RELEASED = "released"
    """It is off, and a replica may take over."""
    NOT_LEADING = "not leading"
    """It is off, and did not lead."""
    ONLY_WE = "only we"
    """Its peers still see it: the fault is between it and the control plane."""
    UNDECIDED = "undecided"
    """Too few peers could be asked: left to the engine's lease."""
    UNCONFIRMED = "unconfirmed"
    """It may still run: left to the engine's lease."""


@dataclass(frozen=True)
class Evidence:
    """Why a node was fenced, or not; kept in the audit."""

    outcome: Outcome
    detail: str


def majority_lost(votes: dict[str, bool], peers: int) -> bool:
    """Whether more than half of *all* ``peers`` answered that they can't reach the node. Silence is no vote."""
    return sum(1 for reachable in votes.values() if not reachable) > peers / 2


async def fence(
    subject: Subject, cluster: ClusterSpec, node: Node, votes: dict[str, bool] | None = None,
    known: Outcome | None = None,
) -> Evidence:  # fmt: skip
    """Decides on a node that the control plane has lost, and acts. May be repeated.

    ``votes``: what :meth:`Engine.peers_see` just answered; they are asked now if not given and needed.
    ``known``: what came of this same loss before. What comes again is not audited again.
    """
    evidence = await _fence(subject, cluster, node, votes)
    # The same is found again every other second, for as long as it lasts.
    news = evidence.outcome not in (Outcome.ONLY_WE, Outcome.UNDECIDED, known)
    say = log.info if news else log.debug
    say("fencing", datastore=subject.datastore.short_id, node=node.label, outcome=evidence.outcome, why=evidence.detail)
    if news:
        async with subject.services.sessions.begin() as tx:
            audit.record(
                tx, "ccx-state-worker", "fence", subject.datastore.id,
                node=node.label, outcome=evidence.outcome.value, why=evidence.detail,
            )  # fmt: skip
    return evidence


async def _fence(subject: Subject, cluster: ClusterSpec, node: Node, votes: dict[str, bool] | None) -> Evidence:
    try:
        server = await subject.cloud.get_server(node.server)
        if server is not None and server.state is not ServerState.STOPPED:
            if votes is None:
                votes = await subject.engine.peers_see(subject.services.channel, cluster, node.label)
            if not majority_lost(votes, len(cluster.nodes) - 1):
                seeing = ", ".join(sorted(peer for peer, reachable in votes.items() if reachable))
                if not seeing:
                    return Evidence(Outcome.UNDECIDED, f"only {len(votes)} peers of {node.label} could be asked")
                return Evidence(Outcome.ONLY_WE, f"the control plane can't reach {node.label}, but {seeing} can")
            await subject.cloud.power_off(node.server, subject.tags(await token(subject)))
            why = f"the control plane and {len(votes)} of its peers lost {node.label}; the cloud turned it off"
        else:
            why = f"the cloud reports that {node.label} is off"
    except (CcxError, Transient) as error:
        return Evidence(Outcome.UNCONFIRMED, f"{node.label} could not be confirmed to be off: {error}")
    try:
        led = await subject.engine.release_leader(cluster, node.label)
    except Transient as error:
        return Evidence(Outcome.UNCONFIRMED, f"{why}, but no survivor took the message: {error}")
    return Evidence(Outcome.RELEASED if led else Outcome.NOT_LEADING, why)


async def token(subject: Subject) -> int:
    """The running job's claim, so that fencing never makes that job stale; else a new one."""
    async with subject.services.sessions.begin() as tx:
        fresh = await jobs.next_token(tx)  # before the look: who begins behind it has a higher one
        running = await jobs.active(tx, str(subject.datastore.id))
        return running.token if running is not None and running.token else fresh
