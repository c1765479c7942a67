"""Who may reach a datastore, and under which names it is found."""

from __future__ import annotations

from ccx.clouds.base import Direction, Firewall, Rule
from ccx.cmon.engines.base import Engine
from ccx.cmon.spec import ClusterView
from ccx.jobs import Step
from ccx.network.mirror.sources import network_of, reached
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.settings import Settings
from ccx.storage.endpoints import reached_by_nodes as stores_reached
from ccx.stores import firewalls
from ccx.stores.models import Node

SSH = 22


def rules(settings: Settings, engine: Engine, sources: list[str]) -> tuple[Rule, ...]:
    """What a datastore's nodes may send and receive, as the network contract declares it; all else is denied."""
    control, resolver = f"{settings.control_address}/32", f"{settings.resolver_address}/32"
    wanted = {
        Rule(Direction.INGRESS, "tcp", SSH, control),
        Rule(Direction.EGRESS, "tcp", 443, control),
        Rule(Direction.EGRESS, "udp", 53, resolver),
        Rule(Direction.EGRESS, "tcp", 53, resolver),
    }
    packages = (found for topology in engine.topologies for found in reached(settings, engine.vendor, topology))
    for host, number in (*packages, *stores_reached(settings)):
        wanted.add(Rule(Direction.EGRESS, "tcp", number, network_of(host)))
    for port in engine.ports:
        if port.control:
            wanted.add(Rule(Direction.INGRESS, "tcp", port.number, control))
        if port.peers:
            wanted.add(Rule(Direction.INGRESS, "tcp", port.number, "self"))
            wanted.add(Rule(Direction.EGRESS, "tcp", port.number, "self"))
        if port.clients:
            wanted.update(Rule(Direction.INGRESS, "tcp", port.number, _cidr(source)) for source in sources)
    return tuple(sorted(wanted))


def put_firewall(subject: Subject, *, clients: bool = True) -> Action:
    """Makes the firewall as the stores want it now; without clients while the datastore is being built."""

    async def action(step: Step) -> None:
        async with subject.services.sessions() as tx:
            sources = [r.source for r in await firewalls.of(tx, subject.datastore)] if clients else []
        wanted = rules(subject.services.settings, subject.engine, sources)
        await subject.cloud.put_firewall(Firewall(subject.firewall_name, wanted), subject.tags(step.token))

    return action


def delete_firewall(subject: Subject) -> Action:
    async def action(step: Step) -> None:
        await subject.cloud.delete_firewall(subject.firewall_name, subject.tags(step.token))

    return action


def records(subject: Subject, members: list[Node], view: ClusterView) -> dict[str, list[str]]:
    """The datastore's names: the primary's, the replicas' (the primary while it is alone), and each node's own."""
    address = {n.label: n.address for n in members if n.address}
    primary = [address[view.primary.label]] if view.primary and view.primary.label in address else []
    replicas = sorted(address[m.label] for m in view.replicas if m.healthy and m.label in address)
    return {
        subject.primary_name: primary,
        subject.replicas_name: replicas or primary,
        **{n.hostname: [n.address] for n in members if n.address},
    }


async def publish(subject: Subject, members: list[Node], view: ClusterView) -> None:
    """Points the datastore's names to where its members are now. Without a primary they stay where they are."""
    if view.primary is not None:
        await subject.services.names.publish(subject.datastore.short_id, records(subject, members, view))


def remove_names(subject: Subject) -> Action:
    async def action(step: Step) -> None:
        await subject.services.names.publish(subject.datastore.short_id, {})

    return action


def _cidr(source: str) -> str:
    return source if "/" in source else f"{source}/32"
