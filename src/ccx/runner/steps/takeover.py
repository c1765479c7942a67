"""What the stores say while one branch of a datastore's nodes takes over from another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.cmon.spec import ClusterView
from ccx.db import utc_now
from ccx.jobs import JobRecord, TransactionBody
from ccx.runner import branches
from ccx.runner.steps.in_place import TAKES_OVER
from ccx.stores import datastores, nodes, outbox
from ccx.stores.models import Datastore, Desired, Node, NodeStatus, Status


def members(datastore_id: str) -> TransactionBody:
    """Who makes up the datastore, whether it serves, and who is kept."""

    async def action(tx: AsyncSession) -> dict[str, Any]:
        datastore = await datastores.get(tx, UUID(datastore_id))
        return {
            "members": [str(node.id) for node in nodes.members(datastore)],
            "kept": [str(node.id) for node in datastore.nodes if node.status is NodeStatus.KEPT],
            "served": datastore.status in (Status.STARTED, Status.DEGRADED),
            **{key: (datastore.restoring or {}).get(key) for key in ("branch", "of")},
        }

    return action


def switching(datastore_id: str) -> TransactionBody:
    """From here on nobody serves for a moment, and nobody shall see a fault in that."""

    async def action(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        _set(datastore, state=branches.SWITCHING, was=[datastore.status.value, datastore.status_text])
        datastores.set_status(tx, datastore, Status.FAILURE, TAKES_OVER)

    return action


def back_to(datastore_id: str, state: str) -> TransactionBody:
    """Undo of :func:`switching`: it is as it was."""

    async def undo(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        assert datastore.restoring is not None
        status, why = datastore.restoring["was"]
        _set(datastore, state=state)
        if datastore.desired is Desired.PRESENT:
            datastores.set_status(tx, datastore, Status(status), why)

    return undo


def take_over(datastore_id: str, branch: int, members: Sequence[UUID]) -> TransactionBody:
    """The restored branch is the datastore, though nobody is sent there yet; the nodes of before are kept."""

    async def action(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        await _exchange(tx, datastore, members)
        branches.serve(datastore, branch)

    return action


def serves(datastore_id: str, view: dict[str, Any], event: str, kept_for: timedelta | None = None) -> TransactionBody:
    """Whoever took over serves, which nobody takes back: sooner, somebody could be sent there and write what goes.

    ``kept_for``: how long the nodes of before stay.
    """

    async def action(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        until = {} if kept_for is None else {"kept_until": (utc_now() + kept_for).isoformat()}
        _set(datastore, state=branches.KEPT, **until)
        datastore.observed, datastore.observed_at = ClusterView.from_json(view).to_json(), utc_now()
        datastores.set_status(tx, datastore, Status.STARTED)
        outbox.emit(tx, datastore.id, event, {"branch": datastore.branch})

    return action


def give_back(datastore_id: str, members: Sequence[UUID]) -> TransactionBody:
    """Undo of :func:`take_over`, while nobody was sent there: the nodes of before are the datastore again."""

    async def undo(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        assert datastore.restoring is not None
        await _exchange(tx, datastore, members, others=NodeStatus.RESERVED)
        branches.unserve(datastore, datastore.restoring["of"])

    return undo


def return_to(datastore_id: str, members: Sequence[UUID]) -> TransactionBody:
    """The branch of before is the datastore again; the restored nodes are to go."""

    async def action(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        assert datastore.restoring is not None
        await _exchange(tx, datastore, members)
        branches.serve(datastore, datastore.restoring["of"])

    return action


def stay(datastore_id: str, members: Sequence[UUID]) -> TransactionBody:
    """Undo of :func:`return_to`."""

    async def undo(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        assert datastore.restoring is not None
        await _exchange(tx, datastore, members)
        branches.unserve(datastore, datastore.restoring["branch"])

    return undo


def settled(datastore_id: str) -> TransactionBody:
    """Nothing of the other branch's is kept any more."""

    async def action(tx: AsyncSession) -> None:
        (await datastores.get(tx, UUID(datastore_id))).restoring = None

    return action


async def give_up(tx: AsyncSession, job: JobRecord, error: dict[str, Any] | None) -> None:
    """A restore in place that failed or was cancelled: the datastore is as it was. Its job says why."""
    datastore = await datastores.get(tx, UUID(job.args["datastore_id"]))
    if datastore.restoring is not None and datastore.restoring["branch"] == job.args["branch"]:
        datastore.restoring = None
        outbox.emit(tx, datastore.id, "restore-failed", {"why": (error or {}).get("err", "it was cancelled")})


async def _exchange(
    tx: AsyncSession, datastore: Datastore, members: Sequence[UUID], others: NodeStatus = NodeStatus.KEPT
) -> None:
    """These nodes make up the datastore, and all others that are there become ``others``."""
    for node in nodes.present(datastore):
        row: Node = await nodes.get(tx, node.id)
        row.status, row.lost_since = (NodeStatus.ACTIVE if node.id in members else others), None


def _set(datastore: Datastore, **changed: Any) -> None:
    datastore.restoring = {**(datastore.restoring or {}), **changed}
