"""Names, keys and certificates: everything that must be remembered before a cloud is asked for anything."""

from __future__ import annotations

import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import pki
from ccx.runner.services import Services
from ccx.runner.subject import Subject, datastore_scope, node_scope
from ccx.secrets import new_password
from ccx.stores import datastores, nodes
from ccx.stores.models import Node, NodeStatus

_PASSWORDS = ("superuser", "replication", "rewind", "admin")


async def cluster_secrets(tx: AsyncSession, services: Services, datastore_id: UUID) -> None:
    """Makes the datastore's passwords, its CA and the control plane's certificate in it. Kept ones are left alone."""
    scope, vault = datastore_scope(datastore_id), services.vault
    for name in _PASSWORDS:
        await vault.put_if_absent(tx, scope, name, new_password)
    datastore = await datastores.get(tx, datastore_id)
    if "ca.key" not in await vault.get_all(tx, scope):
        ca = pki.new_ca(f"CCX datastore {datastore.short_id}")
        await vault.put(tx, scope, "ca.certificate", ca.certificate)
        await vault.put(tx, scope, "ca.key", ca.key)
        await certify_control(tx, services, datastore_id)


async def certify_control(tx: AsyncSession, services: Services, datastore_id: UUID) -> None:
    """Issues the control plane's certificate in the datastore, in place of an earlier one."""
    scope, vault = datastore_scope(datastore_id), services.vault
    kept = await vault.get_all(tx, scope)
    ca = pki.KeyPair(kept["ca.certificate"], kept["ca.key"])
    control = pki.issue(ca, "ccx control plane", [], [], server=False)
    await vault.put(tx, scope, "control.certificate", control.certificate)
    await vault.put(tx, scope, "control.key", control.key)


async def node(
    tx: AsyncSession, services: Services, datastore_id: UUID, index: int, zone: str = "", branch: int | None = None
) -> Node:
    """Reserves a node: its names, its SSH host key, and its token to phone home. Of the branch that serves, if none."""
    datastore = await datastores.get(tx, datastore_id)
    new = await nodes.reserve(tx, services.settings, datastore, index, zone)
    private, public = pki.new_ssh_key()
    token = secrets.token_urlsafe(32)
    new.branch = datastore.branch if branch is None else branch
    new.host_key = public
    await services.vault.put(tx, node_scope(new.id), "ssh_host_key", private)
    await services.vault.put(tx, node_scope(new.id), "enrolment_token", token)
    valid = timedelta(minutes=services.settings.cloud_init_timeout_minutes)
    await nodes.allow_enrolment(tx, new, token, valid)
    return new


async def release_node(tx: AsyncSession, services: Services, node_id: UUID) -> None:
    """Undo of :func:`node`, and the end of every node: nothing of it is left but its row, for the record."""
    gone = await nodes.get(tx, node_id)
    gone.status = NodeStatus.RETIRED
    await nodes.close_enrolment(tx, gone)
    await services.vault.forget(tx, node_scope(node_id))


async def certify_node(tx: AsyncSession, subject: Subject, node_id: UUID) -> None:
    """Issues the node's certificate, now that its address is known. It carries the datastore's names too."""
    vault, member = subject.services.vault, await nodes.get(tx, node_id)
    pair = await node_certificate(tx, subject, member)
    await vault.put(tx, node_scope(node_id), "tls.certificate", pair.certificate)
    await vault.put(tx, node_scope(node_id), "tls.key", pair.key)
    # The node has what it needs of these two: they are worth nothing from now on.
    await vault.forget(tx, node_scope(node_id), "enrolment_token")
    await vault.forget(tx, node_scope(node_id), "ssh_host_key")
    await nodes.close_enrolment(tx, member)


async def node_certificate(tx: AsyncSession, subject: Subject, member: Node) -> pki.KeyPair:
    """A new certificate and key for the node, which has its address; they are kept nowhere yet."""
    assert member.address is not None
    kept = await subject.services.vault.get_all(tx, datastore_scope(subject.datastore.id))
    return pki.issue(
        pki.KeyPair(kept["ca.certificate"], kept["ca.key"]),
        member.hostname,
        [member.hostname, subject.primary_name, subject.replicas_name, "localhost"],
        [a for a in (member.address, member.public_address, "127.0.0.1") if a],
    )
