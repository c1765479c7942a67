"""Events: the outbox is relayed to NATS JetStream. And what the kernel saw of the control plane's connections."""

from ccx.network import Direction, Plane, Protocol, UnixSocket, declare, from_url

NATS = declare(
    id="state.nats",
    section=8,
    host=from_url(lambda s: s.nats_url, "nats_url", default="nats://localhost:4222"),
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
