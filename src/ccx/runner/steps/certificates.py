"""New certificates for nodes that serve. Until a node shows its new one, the old one is what is known of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import pki
from ccx.errors import NotFound
from ccx.jobs import Step, TransactionBody
from ccx.runner.services import Services
from ccx.runner.steps import reserve
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject, node_scope
from ccx.stores import datastores, nodes
from ccx.stores.models import NodeStatus

_SHOWN_WITHIN_S, _POLL_S = 45.0, 0.25
"""What is told to reload does so within its own loop's time."""

_NEXT_CERTIFICATE, _NEXT_KEY = "tls.next.certificate", "tls.next.key"


def renew_control(services: Services, datastore_id: str) -> TransactionBody:
    """The control plane's own certificate in the datastore. The result: ids of the nodes whose turn it is next."""

    async def action(tx: AsyncSession) -> list[str]:
        datastore = await datastores.get(tx, UUID(datastore_id))
        await reserve.certify_control(tx, services, datastore.id)
        return [str(node.id) for node in nodes.members(datastore)]

    return action


def issue(services: Services, datastore_id: str, node_id: UUID) -> TransactionBody:
    async def action(tx: AsyncSession) -> None:
        subject = Subject(services, await datastores.get(tx, UUID(datastore_id)))
        pair = await reserve.node_certificate(tx, subject, await nodes.get(tx, node_id))
        await services.vault.put(tx, node_scope(node_id), _NEXT_CERTIFICATE, pair.certificate)
        await services.vault.put(tx, node_scope(node_id), _NEXT_KEY, pair.key)

    return action


def install(services: Services, datastore_id: str, node_id: UUID) -> Action:
    """Has the node use what was issued; done when it shows it to whoever connects."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        node = subject.node(node_id)
        if node.status is NodeStatus.RETIRED:
            raise NotFound(f"node {node.label} was replaced meanwhile", remedy="Rotate again: the new one is included")
        async with services.sessions() as tx:
            kept = await services.vault.get_all(tx, node_scope(node_id))
        cluster = await subject.cluster()
        fresh = pki.KeyPair(kept[_NEXT_CERTIFICATE], kept[_NEXT_KEY])
        secrets = replace(cluster.secrets, nodes={**cluster.secrets.nodes, node.label: fresh})
        cluster = replace(cluster, secrets=secrets)
        await subject.engine.certify(services.channel, cluster, node.label, step.token)
        async with asyncio.timeout(_SHOWN_WITHIN_S):
            while not await subject.engine.shows_certificate(cluster, node.label):  # noqa: ASYNC110 - none tells
                await asyncio.sleep(_POLL_S)

    return action


def keep(services: Services, node_id: UUID) -> TransactionBody:
    async def action(tx: AsyncSession) -> None:
        scope, vault = node_scope(node_id), services.vault
        kept = await vault.get_all(tx, scope)
        if (await nodes.get(tx, node_id)).status is NodeStatus.RETIRED or _NEXT_KEY not in kept:
            return
        await vault.put(tx, scope, "tls.certificate", kept[_NEXT_CERTIFICATE])
        await vault.put(tx, scope, "tls.key", kept[_NEXT_KEY])
        await vault.forget(tx, scope, _NEXT_CERTIFICATE)
        await vault.forget(tx, scope, _NEXT_KEY)

    return action
