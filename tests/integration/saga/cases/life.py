"""A datastore's beginning, its end, and what is changed while it serves."""

from __future__ import annotations

from tests.cloud_conformance import eventually
from tests.integration.saga.cases.saga import (
    Case,
    Saga,
    gone,
    is_deleted,
    never_was,
    nothing,
    serves,
    want_gone,
)

import ccx.runner.apply_egress
import ccx.runner.apply_firewall
import ccx.runner.create_datastore
import ccx.runner.delete_datastore
import ccx.runner.probe_network
import ccx.runner.replace_node
import ccx.runner.rotate_certificates
from ccx import jobs
from ccx.cmon import egress
from ccx.runner.subject import node_scope
from ccx.stores import datastores, firewalls, nodes
from ccx.stores.models import Desired, NodeStatus, Status

SOURCE = "192.0.2.0/24"


async def lose_primary(saga: Saga) -> None:
    """The primary's machine dies, and a replica has taken over, as it is when a repair begins."""
    subject = await saga.subject()
    cluster = await subject.cluster()
    primary = (await subject.engine.observe(cluster)).primary
    assert primary is not None
    lost = next(n for n in subject.datastore.nodes if n.label == primary.label)
    await saga.installation.control.kill(lost.server)
    await subject.engine.release_leader(cluster, lost.label)

    async def taken_over() -> bool:
        return (await subject.engine.observe(cluster)).primary is not None

    await eventually(taken_over, within=10)
    async with saga.installation.services.sessions.begin() as tx:
        (await nodes.get(tx, lost.id)).status = NodeStatus.LOST
    saga.args |= {"node_id": str(lost.id), "only_if_lost": True}
    saga.notes = {"lost": lost.id, "cloud": await saga.installation.on_cloud(saga.short_id)}


async def is_replaced(saga: Saga) -> None:
    await serves(saga)
    lost = next(n for n in (await saga.datastore()).nodes if n.id == saga.notes["lost"])
    assert lost.status is NodeStatus.RETIRED


async def is_not_replaced(saga: Saga) -> None:
    """As before, but that the cluster may have forgotten the lost node: the others serve, nothing new is left."""
    datastore = await saga.datastore()
    assert await saga.installation.on_cloud(saga.short_id) == saga.notes["cloud"]
    assert {n.status for n in datastore.nodes if n.generation > 1} <= {NodeStatus.RETIRED}
    cluster = await saga.installation.cluster(datastore.id)
    assert cluster is not None
    lost = {n.label for n in datastore.nodes if n.id == saga.notes["lost"]}
    assert set(cluster["members"]) | lost == {n.label for n in datastore.nodes if n.generation == 1}


async def never_be(saga: Saga) -> None:
    """As the row of a temporary node's datastore is."""
    async with saga.installation.services.sessions.begin() as tx:
        datastore = await datastores.get(tx, saga.datastore_id)
        datastore.desired, datastore.status = Desired.ABSENT, Status.DELETED
    saga.args |= {"rows": [], "planned": False}


async def was_probed(saga: Saga) -> None:
    await gone(saga, Status.DELETED)
    async with saga.installation.services.sessions() as tx:
        (job, *_), _ = await jobs.history(tx, str(saga.datastore_id), 1, 0)
        report = next(s.result for s in await jobs.steps(tx, job.id) if s.name == ccx.runner.probe_network.REPORT)
    assert report["ok"]
    assert {"node.control-plane", "node.dns-udp"} <= {o["id"] for o in report["outcomes"] if o["result"] == "ok"}


async def know_certificates(saga: Saga) -> None:
    saga.notes["certificates"] = await _certificates(saga)


async def has_new_certificates(saga: Saga) -> None:
    """Each of them once, and nothing of the change is kept."""
    await serves(saga)
    before, now = saga.notes["certificates"], await _certificates(saga)
    assert now.keys() == before.keys()
    assert not {label for label, pem in now.items() if pem == before[label]}
    async with saga.installation.services.sessions() as tx:
        for node in (await saga.datastore()).nodes:
            kept = await saga.installation.services.vault.get_all(tx, node_scope(node.id))
            assert not [name for name in kept if "next" in name]


async def _certificates(saga: Saga) -> dict[str, str]:
    secrets = (await (await saga.subject()).cluster()).secrets
    return {label: pair.certificate for label, pair in secrets.nodes.items()} | {"control": secrets.control.certificate}


async def allow_a_source(saga: Saga) -> None:
    """In the stores only, as a request leaves it."""
    async with saga.installation.services.sessions.begin() as tx:
        await firewalls.add(tx, await datastores.get(tx, saga.datastore_id), SOURCE, "")
    assert SOURCE not in await _allowed(saga)


async def lets_it_in(saga: Saga) -> None:
    await serves(saga)
    assert SOURCE in await _allowed(saga)


async def _allowed(saga: Saga) -> set[str]:
    """Whom the cloud lets in."""
    found = (await saga.installation.control.documents("firewall"))[(await saga.subject()).firewall_name]
    return {str(rule["peer"]) for rule in found["rules"] if rule["direction"] == "ingress"}


async def know_no_rules(saga: Saga) -> None:
    assert set((await _rules(saga)).values()) == {None}


async def has_the_contracts_rules(saga: Saga) -> None:
    """On each node, as the contract entails them now."""
    await serves(saga)
    subject = await saga.subject()
    spec = await subject.cluster()
    wanted = {}
    for node in spec.nodes:
        peers = [other.address for other in spec.nodes if other.label != node.label]
        text = egress.rules(subject.services.settings, spec.vendor, spec.version, peers, spec.cluster_type)
        wanted[node.label] = egress.digest(text)
    assert await _rules(saga) == wanted


async def _rules(saga: Saga) -> dict[str, str | None]:
    """What each node has been told that it may connect to, as a digest."""
    servers = await saga.installation.control.documents("server")
    members = nodes.members(await saga.datastore())
    return {node.label: servers[node.server]["node"].get("files", {}).get(egress.RULES) for node in members}


CASES = (
    Case("create_datastore", 2, False, nothing, serves, never_was),
    Case("delete_datastore", 2, True, want_gone, is_deleted, None),
    Case("probe_network", 1, False, never_be, was_probed, is_deleted),
    Case("replace_node", 3, True, lose_primary, is_replaced, is_not_replaced),
    Case("rotate_certificates", 1, True, know_certificates, has_new_certificates, serves),
    Case("apply_firewall", 1, True, allow_a_source, lets_it_in, serves),
    Case("apply_egress", 2, True, know_no_rules, has_the_contracts_rules, serves),
)
