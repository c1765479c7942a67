"""The cluster on the servers: configured and started by its engine, watched until it is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.cmon import egress
from ccx.cmon.spec import ClusterView
from ccx.db import utc_now
from ccx.jobs import Step
from ccx.runner.services import Services
from ccx.runner.steps import network, servers
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.stores import datastores, nodes
from ccx.stores.models import NodeStatus, Status

_MACHINES_EVERY_S = 5.0


def configure(services: Services, datastore_id: str, members: list[UUID], node_id: UUID) -> Action:
    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster([subject.node(m) for m in members])
        await subject.engine.configure(services.channel, cluster, subject.node(node_id).label, step.token)

    return action


def renew_egress(services: Services, datastore_id: str) -> Action:
    """Gives every node that answers the rules of now on what it may connect to."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        await egress.tell(services.channel, services.settings, await subject.cluster(), step.token)

    return action


def start(services: Services, datastore_id: str, members: list[UUID]) -> Action:
    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster([subject.node(m) for m in members])
        await subject.engine.start(services.channel, cluster, step.token)

    return action


def finish(services: Services, datastore_id: str, members: list[UUID]) -> Action:
    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster([subject.node(m) for m in members])
        await subject.engine.finish(services.channel, cluster, step.token)

    return action


def join(services: Services, datastore_id: str, members: list[UUID], node_id: UUID) -> Action:
    """Adds the node to the running cluster; its copy's progress is the step's."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster([subject.node(m) for m in members])

        async def report(progress: dict[str, Any]) -> None:
            await step.progress(
                progress.get("done", 0), progress.get("total"), progress.get("unit"), progress.get("note")
            )

        await subject.engine.join(services.channel, cluster, subject.node(node_id).label, step.token, report)

    return action


def forget(services: Services, datastore_id: str, survivors: list[UUID], node_id: UUID) -> Action:
    """Takes the member out of the cluster's own records."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        cluster = await subject.cluster([subject.node(m) for m in survivors])
        await subject.engine.forget(services.channel, cluster, subject.node(node_id).label, step.token)

    return action


def whole(services: Services, datastore_id: str, members: list[UUID]) -> Callable[[], Awaitable[dict[str, Any] | None]]:
    """The cluster's view once every member serves in its role and nothing is amiss; else None."""
    cluster: list[Any] = []

    async def condition() -> dict[str, Any] | None:
        if not cluster:
            subject = await Subject.load(services, datastore_id)
            cluster.append((subject.engine, await subject.cluster([subject.node(m) for m in members])))
        engine, spec = cluster[0]
        view = await engine.observe(spec)
        healthy = {m.label for m in view.members if m.healthy}
        return view.to_json() if not view.problems and healthy >= {n.label for n in spec.nodes} else None

    return condition


def made(services: Services, datastore_id: str, members: list[UUID]) -> Callable[[], Awaitable[dict[str, Any] | None]]:
    """As :func:`whole`, of a cluster that is being made: it never will be when the machine of one stops meanwhile."""
    is_whole, clock = whole(services, datastore_id, members), asyncio.get_running_loop().time
    looked_at = clock()

    async def condition() -> dict[str, Any] | None:
        nonlocal looked_at
        if (view := await is_whole()) is None and clock() - looked_at > _MACHINES_EVERY_S:
            looked_at = clock()
            subject = await Subject.load(services, datastore_id)
            await servers.check_running(subject, [subject.node(m) for m in members])
        return view

    return condition


def publish_names(services: Services, datastore_id: str, members: list[UUID]) -> Action:
    """Points the datastore's names to its members, as the cluster reports them now."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        present = [subject.node(m) for m in members]
        view = await subject.engine.observe(await subject.cluster(present))
        await network.publish(subject, present, view)

    return action


async def started(tx: AsyncSession, datastore_id: str, members: list[UUID], view: dict[str, Any]) -> None:
    """Records that the datastore serves."""
    datastore = await datastores.get(tx, UUID(datastore_id))
    for member in members:
        (await nodes.get(tx, member)).status = NodeStatus.ACTIVE
    datastore.observed, datastore.observed_at = ClusterView.from_json(view).to_json(), utc_now()
    datastores.set_status(tx, datastore, Status.STARTED)
