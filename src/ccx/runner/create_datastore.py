"""Creates a datastore: from a row that says what it shall be, to a cluster that serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.jobs import Job, JobRecord, TransactionBody, operation
from ccx.runner.services import Services
from ccx.runner.steps import cluster, network, packages, preflight, reserve, servers
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject, datastore_scope
from ccx.stores import datastores
from ccx.stores.models import Desired, Node, Status

FORM = timedelta(minutes=5)


async def give_up(tx: AsyncSession, job: JobRecord, error: dict[str, Any] | None) -> None:
    """A create that failed leaves nothing to be kept: its name is free again, its reason stays readable."""
    datastore = await datastores.get(tx, UUID(job.args["datastore_id"]))
    wanted_gone = datastore.desired is Desired.ABSENT
    datastore.desired = Desired.ABSENT
    if not wanted_gone:
        datastores.set_status(
            tx, datastore, Status.DEPLOY_FAILED, (error or {}).get("err", "the creation was cancelled")
        )


@operation("create_datastore", deadline=timedelta(minutes=30), on_failed=give_up)
async def create_datastore(job: Job, datastore_id: str) -> None:
    """Reserve names and keys; firewall; volumes, servers; wait for them; probe; build the cluster; name it; open it."""
    await build(job, datastore_id)


async def build(
    job: Job,
    datastore_id: str,
    *,
    follow: Action | None = None,
    form: timedelta = FORM,
    tidy: Callable[[list[Node]], Awaitable[None]] | None = None,
    also: TransactionBody | None = None,
) -> None:
    """All steps of a creation. The last one says that it serves: nothing that may fail comes after that.

    ``follow``: what to wait for, after the start, before the cluster is to ``form``. ``tidy``: what is left to do when
    it has, before anybody is let in. ``also``: what is committed with that it serves.
    """
    services: Services = job.services
    reserved = await job.transaction(
        "reserve", reserve_all(services, datastore_id), undo=release_all(services, datastore_id)
    )
    members = [UUID(m) for m in reserved]
    subject = await Subject.load(services, datastore_id)
    nodes = [subject.node(m) for m in members]

    await job.step("firewall", network.put_firewall(subject, clients=False), undo=network.delete_firewall(subject))
    await job.gather(*(machine(job, subject, node) for node in nodes))
    await job.nap_until(
        "boot",
        servers.phoned_home(services, members),
        every=timedelta(seconds=0.25),
        within=servers.booted_within(services),
    )
    await job.transaction("certificates", certify(services, datastore_id, members))
    await job.gather(*(set_up(job, subject, members, node) for node in nodes))
    await job.step("start", cluster.start(services, datastore_id, members), timeout=120)
    if follow is not None:
        await job.step("restore", follow, timeout=900, retry_for=600)
    view = await job.nap_until(
        "form", cluster.made(services, datastore_id, members), every=timedelta(seconds=0.25), within=form
    )
    await job.step("users", cluster.finish(services, datastore_id, members))
    if tidy is not None:
        await tidy(nodes)
    await job.step("names", cluster.publish_names(services, datastore_id, members), undo=network.remove_names(subject))
    await job.step("open", network.put_firewall(subject))

    async def started(tx: AsyncSession) -> None:
        await cluster.started(tx, datastore_id, members, view)
        if also is not None:
            await also(tx)

    await job.transaction("started", started)


def reserve_all(services: Services, datastore_id: str) -> TransactionBody:
    """Node rows, passwords, keys; its result is the nodes' ids."""

    async def action(tx: AsyncSession) -> list[str]:
        datastore = await datastores.get(tx, UUID(datastore_id))
        await reserve.cluster_secrets(tx, services, datastore.id)
        zones = datastore.zones or [""]
        return [
            str((await reserve.node(tx, services, datastore.id, index, zones[(index - 1) % len(zones)])).id)
            for index in range(1, datastore.size + 1)
        ]

    return action


def release_all(services: Services, datastore_id: str) -> TransactionBody:
    """Undo of :func:`reserve_all`."""

    async def undo(tx: AsyncSession) -> None:
        datastore = await datastores.get(tx, UUID(datastore_id))
        for node in datastore.nodes:
            await reserve.release_node(tx, services, node.id)
        await services.vault.forget(tx, datastore_scope(datastore.id))

    return undo


async def machine(job: Job, subject: Subject, node: Node) -> None:
    """One node's volume and server."""
    await job.step(
        f"volume {node.label}", servers.create_volume(subject, node), undo=servers.delete_volume(subject, node)
    )
    await job.step(
        f"server {node.label}", servers.create_server(subject, node), undo=servers.delete_server(subject, node)
    )


async def set_up(job: Job, subject: Subject, members: list[UUID], node: Node) -> None:
    """One node's probe, its packages, where its image lacks them, and its configuration."""
    services, datastore_id = subject.services, str(subject.datastore.id)
    probe = partial(job.step, f"probe {node.label}", preflight.probe(services, datastore_id, node.id))
    configure = partial(
        job.step, f"configure {node.label}", cluster.configure(services, datastore_id, members, node.id)
    )
    if not packages.needed(subject):
        # Files are written meanwhile; nothing is started before the probe's answer.
        await job.gather(probe(), configure())
        return
    await probe()
    install = packages.install(services, datastore_id, node.id)
    await job.step(f"packages {node.label}", install, timeout=packages.INSTALL_S)
    await configure()


def certify(services: Services, datastore_id: str, members: list[UUID]) -> TransactionBody:
    """Certificates for nodes whose addresses are known by now."""

    async def action(tx: AsyncSession) -> None:
        subject = Subject(services, await datastores.get(tx, UUID(datastore_id)))
        for member in members:
            await reserve.certify_node(tx, subject, member)

    return action
