"""Servers and volumes: one node at a time, by the name that its row holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.clouds.base import ServerSpec, ServerState, VolumeSpec
from ccx.cmon.bootstrap import user_data
from ccx.cmon.endpoints import PHONE_HOME
from ccx.errors import CcxError
from ccx.jobs import Step
from ccx.runner.services import Services
from ccx.runner.subject import Subject, node_scope
from ccx.stores import nodes
from ccx.stores.models import Node

Action = Callable[[Step], Awaitable[Any]]


def create_volume(subject: Subject, node: Node) -> Action:
    async def action(step: Step) -> None:
        ds = subject.datastore
        spec = VolumeSpec(node.volume, ds.volume_size, ds.volume_type, ds.region, node.zone)
        await subject.cloud.create_volume(spec, subject.tags(step.token))

    return action


def delete_volume(subject: Subject, node: Node) -> Action:
    async def action(step: Step) -> None:
        await subject.cloud.delete_volume(node.volume, subject.tags(step.token))

    return action


def create_server(subject: Subject, node: Node) -> Action:
    """Asks for the server and remembers the address that the cloud chose."""

    async def action(step: Step) -> None:
        services, ds = subject.services, subject.datastore
        async with services.sessions() as tx:
            token = await services.vault.get(tx, node_scope(node.id), "enrolment_token")
        told = services.installation
        server = await subject.cloud.create_server(
            ServerSpec(
                name=node.server,
                hostname=node.hostname,
                instance_type=subject.instance_type.type,
                region=ds.region,
                zone=node.zone,
                volume=node.volume,
                firewall=subject.firewall_name,
                image=subject.image,
                user_data=user_data(
                    hostname=node.hostname,
                    control_url=told.control_url,
                    token=token,
                    installation_ca=told.ca,
                    apt_key=told.apt_key,
                    authorized_key=told.authorized_key,
                    patience=services.settings.cloud_init_timeout_minutes * 60,
                ),
            ),
            subject.tags(step.token),
        )
        async with services.sessions.begin() as tx:
            row = await nodes.get(tx, node.id)
            row.address, row.public_address = server.private_ip, server.public_ip

    return action


def delete_server(subject: Subject, node: Node) -> Action:
    async def action(step: Step) -> None:
        await subject.cloud.delete_server(node.server, subject.tags(step.token))

    return action


async def check_running(subject: Subject, members: Sequence[Node]) -> None:
    """Of nodes that are being made: raises CcxError for one whose machine is gone, by the cloud's word.

    It is not turned on again: what it was doing broke off in the middle, and half of it can't be gone on with.
    """
    for node in members:
        server = await subject.cloud.get_server(node.server)
        if server is None or server.state is ServerState.STOPPED:
            raise CcxError(
                f"the machine of {node.label} stopped before the datastore was whole",
                remedy="Try again; the cloud's own log may tell why",
            )


def phoned_home(services: Services, node_ids: list[UUID]) -> Callable[[], Awaitable[list[str] | None]]:
    """True once all these nodes reported that their bootstrap is done.

    Fails when one reported that it can't be, and when one's time is up.
    """

    async def condition() -> list[str] | None:
        async with services.sessions() as tx:
            await _raise_failures(tx, node_ids)
            ready = await nodes.phoned_home(tx, node_ids)
            late = await nodes.overdue(tx, node_ids)
        if late:
            limit = services.settings.cloud_init_timeout_minutes
            raise CcxError(
                f"node {', '.join(n.label for n in late)} did not report to the control plane within {limit:g} minutes",
                remedy=f"Check that nodes boot, and reach the control plane's 443 ({PHONE_HOME.id}); then try again",
            )
        return [at.isoformat() for at in ready] if len(ready) == len(node_ids) else None

    return condition


def booted_within(services: Services) -> timedelta:
    """The longest that booting may take: a little longer than the nodes' tokens hold, so that who is late is named."""
    return timedelta(minutes=services.settings.cloud_init_timeout_minutes + 1)


async def _raise_failures(tx: AsyncSession, node_ids: list[UUID]) -> None:
    for node_id in node_ids:
        node = await nodes.get(tx, node_id)
        if node.bootstrap_error:
            raise CcxError(
                f"node {node.label} could not be set up: {node.bootstrap_error}",
                remedy="Check that nodes can reach their package repository and the control plane, then try again",
            )
