"""Replaces a node that is lost for good; the datastore keeps serving."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.errors import Conflict
from ccx.jobs import Job, Step, TransactionBody, operation
from ccx.runner.services import Services
from ccx.runner.steps import cluster, packages, preflight, reserve, servers
from ccx.runner.subject import Subject
from ccx.stores import datastores, nodes
from ccx.stores.models import NodeStatus


@operation("replace_node", deadline=timedelta(minutes=60))
async def replace_node(job: Job, datastore_id: str, node_id: str, only_if_lost: bool = False) -> None:
    """Never gives up a quorum or the last synchronous copy.

    The lost node is forgotten only when the new one is ready to join.

    Args:
        only_if_lost: nobody asked for it but auto-repair: there is nothing to do for a node that came back while this
            waited for its turn. Without, the node is replaced however well it is.
    """
    services: Services = job.services
    if only_if_lost and not await job.step("still lost", _is_still_lost(services, datastore_id, UUID(node_id))):
        return
    plan = await job.transaction(
        "reserve", _reserve(services, datastore_id, UUID(node_id)), undo=_release(services, datastore_id)
    )
    new_id, survivors = UUID(plan["new"]), [UUID(s) for s in plan["survivors"]]
    members = [*survivors, new_id]
    subject = await Subject.load(services, datastore_id)
    new, lost = subject.node(new_id), subject.node(node_id)

    # Off before anything takes its place: a node that comes back must find nobody who believes in it.
    await job.step("fence", _power_off(subject, lost.server))
    await job.step("volume", servers.create_volume(subject, new), undo=servers.delete_volume(subject, new))
    await job.step("server", servers.create_server(subject, new), undo=servers.delete_server(subject, new))
    await job.nap_until(
        "boot",
        servers.phoned_home(services, [new_id]),
        every=timedelta(seconds=0.25),
        within=servers.booted_within(services),
    )
    await job.step("probe", preflight.probe(services, datastore_id, new_id))
    await job.transaction("certificate", _certify(services, datastore_id, new_id))
    if packages.needed(subject):
        await job.step("packages", packages.install(services, datastore_id, new_id), timeout=packages.INSTALL_S)
    await job.step("configure", cluster.configure(services, datastore_id, members, new_id))
    # Forgotten before the new one joins: of three members one is dead, and a fourth would raise the quorum
    # above the number of the living.
    await job.step("retire", cluster.forget(services, datastore_id, survivors, lost.id))
    await job.step(
        "join",
        cluster.join(services, datastore_id, members, new_id),
        undo=cluster.forget(services, datastore_id, members, new_id),
        timeout=600,
        retry_for=600,
    )
    await job.pivot("remove old server", servers.delete_server(subject, lost))
    await job.step("remove old volume", servers.delete_volume(subject, lost))
    view = await job.nap_until(
        "whole",
        cluster.whole(services, datastore_id, members),
        every=timedelta(seconds=0.5),
        within=timedelta(hours=24),
    )
    await job.step("names", cluster.publish_names(services, datastore_id, members))

    async def done(tx: AsyncSession) -> None:
        await reserve.release_node(tx, services, UUID(node_id))
        await cluster.started(tx, datastore_id, members, view)

    await job.transaction("done", done)


def _is_still_lost(services: Services, datastore_id: str, node_id: UUID) -> servers.Action:
    """Whether the repair that was ordered is still due, by what the cluster and the state worker say of it now."""

    async def action(step: Step) -> bool:
        subject = await Subject.load(services, datastore_id)
        node = subject.node(node_id)
        view = await subject.engine.observe(await subject.cluster())
        serving = {member.label for member in view.members if member.healthy}
        # Without another primary, what this node has may be all there is.
        survives = view.primary is not None and view.primary.label != node.label
        return survives and node.label not in serving and (await _status(services, node_id)) is not NodeStatus.ACTIVE

    return action


async def _status(services: Services, node_id: UUID) -> NodeStatus:
    """After the look at the cluster, which may have taken its time."""
    async with services.sessions() as tx:
        return (await nodes.get(tx, node_id)).status


def _reserve(services: Services, datastore_id: str, lost_id: UUID) -> TransactionBody:
    async def action(tx: AsyncSession) -> dict[str, object]:
        datastore = await datastores.get(tx, UUID(datastore_id))
        lost, members = await nodes.get(tx, lost_id), [n.id for n in nodes.members(datastore)]
        if lost_id not in members:  # it was replaced, or a restore in place has taken over, while this waited
            raise Conflict(
                f"node {lost.label} is no member of its datastore any more", remedy="List the nodes: ccx node list"
            )
        survivors = [str(one) for one in members if one != lost_id]
        new = await reserve.node(tx, services, datastore.id, lost.index, lost.zone)
        return {"new": str(new.id), "survivors": survivors}

    return action


def _release(services: Services, datastore_id: str) -> TransactionBody:
    async def undo(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        for node in datastore.nodes:
            if node.status is NodeStatus.RESERVED:
                await reserve.release_node(tx, services, node.id)

    return undo


def _power_off(subject: Subject, server: str) -> servers.Action:
    async def action(step: Step) -> None:
        await subject.cloud.power_off(server, subject.tags(step.token))

    return action


def _certify(services: Services, datastore_id: str, node_id: UUID) -> TransactionBody:
    async def action(tx: AsyncSession) -> None:
        subject = Subject(services, await datastores.get(tx, UUID(datastore_id)))
        await reserve.certify_node(tx, subject, node_id)

    return action
