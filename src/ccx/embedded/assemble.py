"""Builds what the roles work with, from the settings and the instance's files; closes it in reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from ccx.clouds.registry import make_cloud
from ccx.cmon import engines
from ccx.cmon.endpoints import SSH_TO_NODES
from ccx.cmon.ssh_channel import SshChannel
from ccx.db import make_engine, make_session_factory
from ccx.db.endpoints import POSTGRESQL
from ccx.dns import name_writer
from ccx.embedded.nats_client import connect_nats
from ccx.runner.services import Installation, Services
from ccx.secrets import KeyRing, Vault
from ccx.settings import Settings


@dataclass(frozen=True)
class Assembled:
    """The floors below, ready to be called, and the two connections that only some roles need."""

    services: Services
    engine: AsyncEngine
    nats: Client


@asynccontextmanager
async def assembled(settings: Settings) -> AsyncIterator[Assembled]:
    """Connects to the database lazily and to NATS at once. Raises :class:`ccx.errors.CcxError` for broken settings."""
    async with AsyncExitStack() as stack:
        engine = make_engine(POSTGRESQL.checked_url(settings.dsn, settings))
        stack.push_async_callback(engine.dispose)
        key = (settings.paths.etc / "ssh.key").read_text()
        channel = SshChannel(key, lambda host, port: SSH_TO_NODES.check(host, port, settings))
        stack.push_async_callback(channel.close)
        clouds = {}
        for config in settings.clouds:
            clouds[config.code] = cloud = make_cloud(config, settings)
            stack.push_async_callback(cloud.close)
        client = await connect_nats(settings)
        stack.push_async_callback(client.close)
        services = Services(
            settings=settings,
            sessions=make_session_factory(engine),
            vault=Vault(KeyRing.load(settings.paths.etc / "wrapping.key")),
            clouds=clouds,
            channel=channel,
            names=name_writer(settings),
            installation=_installation(settings),
            engine=lambda vendor, topology="": engines.get(vendor, settings, topology),
        )
        yield Assembled(services, engine, client)


def _installation(settings: Settings) -> Installation:
    etc = settings.paths.etc
    return Installation(
        ca=(etc / "ca.crt").read_text(),
        control_url=f"https://{settings.control_address}",
        authorized_key=(etc / "ssh.pub").read_text().strip(),
        apt_key=(etc / "apt.asc").read_text(),
    )
