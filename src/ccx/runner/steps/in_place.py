"""A restore in place: one branch of a datastore's nodes takes over from another, and can give back.

Whoever serves goes on serving until the other one is there, whole, and has a log of its own in the store.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.cmon.backup import HandsOver
from ccx.cmon.node_channel import NodeUnreachable
from ccx.cmon.spec import ClusterView
from ccx.errors import CcxError, Conflict, Invalid, Transient
from ccx.jobs import Step, TransactionBody
from ccx.runner import branches, repositories
from ccx.runner.services import Services
from ccx.runner.steps import network, reserve, restores
from ccx.runner.steps.backups import engine_of
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.storage.opened import has_store, open_store
from ccx.stores import datastores
from ccx.stores.models import Datastore, Node, NodeStatus

_BACK_WITHIN_S, _AWAY_S, _ON_AGAIN_S, _LOOK_EVERY_S = 240, 30, 5, 0.5
STOPPED_WITHIN_S = 330
"""For a server that writes much before it ends, one after those that follow it, and for the end of its log."""
_HISTORY = re.compile(r"/([0-9A-F]{8})\.history$")
TAKES_OVER = "what was restored takes over: it serves again as soon as its names point there"

log = structlog.get_logger()


def hands_over(subject: Subject) -> HandsOver:
    """The datastore's engine, if it can be restored in place. Raises Invalid."""
    engine_of(subject)
    if not isinstance(subject.engine, HandsOver):
        raise Invalid(
            f"{subject.datastore.vendor} can't be restored in place yet", remedy="Restore into a new datastore"
        )
    return subject.engine


def reserve_branch(services: Services, datastore_id: str, branch: int) -> TransactionBody:
    """Rows of the branch's nodes, as many as the datastore shall have; its result is their ids."""

    async def action(tx: AsyncSession) -> list[str]:
        datastore = await datastores.get(tx, UUID(datastore_id))
        zones = datastore.zones or [""]
        return [
            str((await reserve.node(tx, services, datastore.id, index, zones[(index - 1) % len(zones)], branch)).id)
            for index in range(1, datastore.size + 1)
        ]

    return action


def release_branch(services: Services, datastore_id: str, branch: int) -> TransactionBody:
    """Undo of :func:`reserve_branch`, and the end of a branch's nodes whose servers and volumes are gone."""

    async def undo(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        for node in datastore.nodes:
            if node.branch == branch and node.status is not NodeStatus.RETIRED:
                await reserve.release_node(tx, services, node.id)

    return undo


def follow(services: Services, datastore_id: str, members: Sequence[UUID]) -> Action:
    """Waits until the data is there; its progress is the step's. Fails with the reason when it never will be."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)

        async def report(progress: dict[str, Any]) -> None:
            await step.progress(progress["done"], None, progress["unit"], progress["note"])

        await restores.follow_on(subject, [subject.node(m) for m in members], report)

    return action


def archive(services: Services, datastore_id: str, members: Sequence[UUID]) -> Action:
    """The branch's log goes to the store, from its first moment on; its result is the first timeline that is its own.

    From here on, nothing is lost that it acknowledges, though no backup of it is there yet.
    """

    async def action(step: Step) -> int:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster([subject.node(m) for m in members])
        await engine_of(subject).start_archiving(services.channel, cluster, step.token)
        if (begun := await _first_timeline(subject, cluster.branch)) is not None:
            return begun
        view = await subject.engine.observe(cluster)
        return (view.primary.timeline if view.primary else None) or 0

    return action


async def _first_timeline(subject: Subject, branch: int) -> int | None:
    """By the files that an engine leaves where a timeline begins; None where there are none."""
    services, datastore = subject.services, subject.datastore
    cloud = services.settings.cloud(datastore.cloud)
    if cloud is None or not has_store(cloud):
        return None
    store = open_store(cloud, services.settings)
    try:
        found = await store.list(f"{_log_of(datastore, branch)}/")
    finally:
        await store.close()
    begun = [int(match[1], 16) for one in found if (match := _HISTORY.search(one.key))]
    return min(begun, default=None)


def forget_log(services: Services, datastore_id: str, branch: int) -> Action:
    """Undo of :func:`archive`: what never served leaves nothing in the store, if that can be reached."""

    async def action(step: Step) -> None:
        datastore = (await Subject.load(services, datastore_id)).datastore
        cloud = services.settings.cloud(datastore.cloud)
        if cloud is None or not has_store(cloud):
            return
        store = open_store(cloud, services.settings)
        try:
            for prefix in (_log_of(datastore, branch), _backups_of(datastore, branch)):
                await store.delete_all(f"{prefix}/")
        except (CcxError, Transient) as error:
            log.warning("a log of nothing stays in the store", datastore=datastore.short_id, reason=str(error))
        finally:
            await store.close()

    return action


def _log_of(datastore: Datastore, branch: int) -> str:
    return f"{repositories.prefix(datastore)}archive/{branches.archive_name(datastore.short_id, branch)}"


def _backups_of(datastore: Datastore, branch: int) -> str:
    return f"{repositories.prefix(datastore)}backup/{branches.archive_name(datastore.short_id, branch)}"


def forget_origin(services: Services, datastore_id: str, members: Sequence[UUID], node_id: UUID) -> Action:
    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster([subject.node(m) for m in members])
        await engine_of(subject).forget_origin(services.channel, cluster, subject.node(node_id).label, step.token)

    return action


async def nothing(step: Step) -> None:
    """A step that is there for its undo."""


def stop(services: Services, datastore_id: str, members: Sequence[UUID]) -> Action:
    """Ends the members' engine, the primary's last, with all of the log in the store. Who is away is passed over."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster([subject.node(m) for m in members])
        try:
            async with asyncio.timeout(STOPPED_WITHIN_S):
                await hands_over(subject).stop(services.channel, cluster, step.token)
        except (CcxError, Transient, TimeoutError) as error:
            # Whatever it is: they are turned off next, and what they acknowledged is on their volumes.
            why = str(error) or "it takes too long"
            log.warning("not stopped in good order", datastore=subject.datastore.short_id, reason=why)

    return action


def power_off(services: Services, datastore_id: str, node_id: UUID) -> Action:
    """The cloud confirms that it is off: two branches never serve at once."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        await subject.cloud.power_off(subject.node(node_id).server, subject.tags(step.token))

    return action


def power_on(services: Services, datastore_id: str, node_id: UUID) -> Action:
    """One that the cloud no longer has stays away."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        server = subject.node(node_id).server
        if await subject.cloud.get_server(server) is not None:
            await subject.cloud.power_on(server, subject.tags(step.token))

    return action


def bring_back(services: Services, datastore_id: str, members: Sequence[UUID], *, served: bool) -> Action:
    """Undo of all that takes the members out of service: they run, and if they ``served``, do so again, by name."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        async with asyncio.timeout(_BACK_WITHIN_S):
            view = await _until_serving(subject, [subject.node(m) for m in members], step, served=served)
        await network.publish(subject, [subject.node(m) for m in members], view)

    return action


async def _until_serving(subject: Subject, members: list[Node], step: Step, *, served: bool) -> ClusterView:
    """Turns machines on, and starts the engine where one answers; who is still away a while after there is a primary
    stays away.

    More than once: a call to turn one off that was given up may still be carried out, after one to turn it on.
    """
    cluster, clock = await subject.cluster(members), asyncio.get_running_loop().time
    away, since, asked = {node.label for node in cluster.nodes}, clock(), float("-inf")
    while True:
        if clock() - asked >= _ON_AGAIN_S:
            for node in members:
                await power_on(subject.services, str(subject.datastore.id), node.id)(step)
            away, asked = {node.label for node in cluster.nodes}, clock()
        for label in sorted(away):
            with suppress(NodeUnreachable, Transient):  # it boots, and starts by itself what was not ended
                await hands_over(subject).start_again(subject.services.channel, cluster, label, step.token)
                away.remove(label)
        view = await subject.engine.observe(cluster)
        if served and view.primary is None:
            since = clock()
        elif not away or clock() - since > _AWAY_S:
            return view
        await asyncio.sleep(_LOOK_EVERY_S)


def still_serves(services: Services, datastore_id: str) -> Action:
    """The last look before anybody is sent there."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        view = await subject.engine.observe(await subject.cluster())
        if view.primary is None:
            raise Transient("what takes over has no primary: " + "; ".join(view.problems))

    return action


def some_are_there(services: Services, datastore_id: str, members: Sequence[UUID]) -> Action:
    """Fails where the cloud has none of the members' machines any more: nobody shall be turned off for them."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        for member in members:
            if await subject.cloud.get_server(subject.node(member).server) is not None:
                return
        raise Conflict(
            "the machines of before the restore are gone: what is there now goes on serving",
            remedy="Restore again, to a time before: ccx backup confirm-restore, then ccx backup restore --in-place",
        )

    return action


def serve_again(services: Services, datastore_id: str, members: Sequence[UUID]) -> Action:
    """Members that were turned on: returns when one of them is primary; its result is the cluster's view."""

    async def action(step: Step) -> dict[str, Any]:
        subject = await Subject.load(services, datastore_id)
        async with asyncio.timeout(_BACK_WITHIN_S):
            view = await _until_serving(subject, [subject.node(m) for m in members], step, served=True)
        return view.to_json()

    return action
