"""Connected sockets for protocols other than HTTP."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from ccx.errors import Invalid

if TYPE_CHECKING:
    from ccx.network.endpoint import Endpoint
    from ccx.settings import Settings


async def connect(endpoint: Endpoint, host: str, settings: Settings, port: int | None, within: float) -> socket.socket:
    """See :meth:`ccx.network.endpoint.Endpoint.connect`."""
    if port is None:
        ports = {target.port for target in endpoint.targets(settings)}
        if len(ports) != 1:
            raise Invalid(f"{endpoint.id} has {len(ports)} ports", field="port", remedy="Say which one is meant")
        port = ports.pop()
    endpoint.check(host, port, settings)
    async with asyncio.timeout(within):
        loop = asyncio.get_running_loop()
        problem: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            made = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            try:
                await loop.sock_connect(made, address)
            except OSError as error:
                made.close()
                problem = error
            except BaseException:
                made.close()
                raise
            else:
                return made
        raise problem
