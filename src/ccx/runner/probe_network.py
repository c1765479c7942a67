"""Tries the plan's rows from the datastores' network: from a temporary node, which is removed whatever happens.

The node belongs to a datastore that never is: its row is a deleted one's from the start, so nobody sees, counts or
watches it, and whatever would be left of it on the cloud is an orphan in the inventory.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.clouds.base import Firewall, Rule
from ccx.errors import CcxError
from ccx.jobs import Job, Step, TransactionBody, operation
from ccx.network import Plane
from ccx.network.probe import document, targets
from ccx.runner.services import Services
from ccx.runner.steps import network, preflight, reserve, servers
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject, node_spec
from ccx.stores import datastores

REPORT = "probe"
"""The step whose result is the report: :func:`ccx.network.probe.document`'s."""


@operation("probe_network", deadline=timedelta(minutes=30))
async def probe_network(job: Job, datastore_id: str, rows: list[str], planned: bool) -> None:
    """Reserve; firewall; server; wait for it; have it try ``rows`` (of the data plane; none: all); remove it."""
    services: Services = job.services
    reserved = await job.transaction("reserve", _reserve(services, datastore_id), undo=_release(services, datastore_id))
    node_id = UUID(reserved)
    subject = await Subject.load(services, datastore_id)
    node = subject.node(node_id)

    await job.step("firewall", _put_firewall(subject), undo=network.delete_firewall(subject))
    await job.step("server", servers.create_server(subject, node), undo=servers.delete_server(subject, node))
    await job.nap_until(
        "boot",
        servers.phoned_home(services, [node_id]),
        every=timedelta(seconds=0.25),
        within=servers.booted_within(services),
    )
    await job.step(REPORT, _probe(services, datastore_id, node_id, rows, planned))
    # What is asked for is known: from here on, all that is left to do is to tidy up, however long that takes.
    await job.pivot("remove server", servers.delete_server(subject, node))
    await job.step("remove firewall", network.delete_firewall(subject))
    await job.transaction("forget", _release(services, datastore_id))


def _reserve(services: Services, datastore_id: str) -> TransactionBody:
    async def action(tx: AsyncSession) -> str:
        made = await reserve.node(tx, services, UUID(datastore_id), 1)
        made.volume = ""
        return str(made.id)

    return action


def _release(services: Services, datastore_id: str) -> TransactionBody:
    async def undo(tx: AsyncSession) -> None:
        for node in (await datastores.get(tx, UUID(datastore_id))).nodes:
            await reserve.release_node(tx, services, node.id)

    return undo


def _put_firewall(subject: Subject) -> Action:
    """As the datastores on offer would have it: what it lets through is what is in question."""

    async def action(step: Step) -> None:
        services = subject.services
        wanted: set[Rule] = set()
        for database in services.settings.databases:
            for kind in database.types:
                try:
                    engine = services.engine(database.code, kind.code)
                except CcxError:  # on offer by the settings, and not built
                    continue
                wanted.update(network.rules(services.settings, engine, []))
        firewall = Firewall(subject.firewall_name, tuple(sorted(wanted)))
        await subject.cloud.put_firewall(firewall, subject.tags(step.token))

    return action


def _probe(services: Services, datastore_id: str, node_id: UUID, rows: list[str], planned: bool) -> Action:
    async def action(step: Step) -> dict[str, Any]:
        subject = await Subject.load(services, datastore_id)
        node, cloud = subject.node(node_id), subject.datastore.cloud
        found = preflight.of_node(services.settings, cloud)
        chosen = [row for row in found.select(Plane.DATA) if not rows or row.id in rows]
        outcomes = await preflight.ask(services, node_spec(node), targets(found, chosen), step)
        return document(outcomes, where=f"a node on {cloud} ({subject.datastore.region})", planned=planned)

    return action
