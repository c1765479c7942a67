"""The control plane's connection to NATS, with a name and password, and by TLS where the URL says so."""

from __future__ import annotations

import ssl
from typing import Any

import structlog
from nats.aio.client import Client
from nats.errors import SecureConnRequiredError

from ccx.settings import Settings
from ccx.state.endpoints import NATS

log = structlog.get_logger()


class _TlsOnly(Client):
    """Sends no password before the connection is encrypted: the library leaves that to what the server says."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise SecureConnRequiredError
        return super()._connect_command()


async def connect_nats(settings: Settings) -> Client:
    """A client that reconnects for ever; events wait in the outbox meanwhile."""
    servers = [NATS.checked_url(url, settings) for url in settings.nats_servers]
    options: dict[str, Any] = {}
    if settings.nats_credentials is not None:
        user, password = settings.nats_credentials.read_text().split()
        options = {"user": user, "password": password}
    client = Client()
    if any(url.startswith("tls://") for url in servers):
        client = _TlsOnly()
        options["tls"] = ssl.create_default_context(cafile=settings.nats_ca)

    async def lost(error: Exception) -> None:
        log.warning("NATS does not answer", reason=str(error) or type(error).__name__)

    await client.connect(
        servers=servers,
        name="ccx",
        error_cb=lost,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        allow_reconnect=True,
        **options,
    )
    return client
