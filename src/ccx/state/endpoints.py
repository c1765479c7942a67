"""Events: the outbox is relayed to NATS JetStream."""

from ccx.network import Direction, Plane, Protocol, declare, from_url

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
