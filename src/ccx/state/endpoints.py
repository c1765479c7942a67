"""Events: the outbox is relayed to NATS JetStream. And what the kernel saw of the control plane's connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import Address, Direction, Plane, Protocol, UnixSocket, declare
from ccx.network.hosts import parse_url

if TYPE_CHECKING:
    from ccx.settings import Settings


def _servers(settings: Settings) -> tuple[Address, ...]:
    """A cluster has several."""
    urls = settings.nats_servers or ("nats://localhost:4222",)
    parsed = [parse_url(url, field="nats_url") for url in urls]
    return tuple(Address(one.host, one.port) for one in parsed)


NATS = declare(
    id="state.nats",
    section=8,
    host=_servers,
    ports=4222,
    protocol=Protocol.TCP,
    direction=Direction.INTERNAL,
    plane=Plane.INTERNAL,
    service="NATS JetStream",
    purpose="events of datastores and jobs",
    when_blocked="events wait in the outbox, in order, and are sent when it is back; jobs go on",
)

KERNEL = declare(
    id="state.kernel",
    section=None,
    reason="Only root can list what the kernel saw. A unix socket leaves the machine by no network",
    host=UnixSocket(lambda s: s.paths.run / "kernel.sock"),
    protocol=Protocol.UNIX,
    direction=Direction.INTERNAL,
    plane=Plane.INTERNAL,
    required=False,
    service="ccx-state-worker",
    purpose="the connections that the control plane's own network namespace opened",
    when_blocked="ccx network observed says that it can't see the control plane; nothing else changes",
)
