"""The control plane looks names up."""

from ccx.network import RESOLVER, Direction, Plane, Protocol, declare

DNS_UDP = declare(
    id="dns.udp",
    section=None,
    reason="The control plane looks names up; the specification takes DNS for granted",
    host=RESOLVER,
    ports=53,
    protocol=Protocol.UDP,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    service="all control-plane services",
    purpose="looks names up",
    when_blocked="hosts known by name can't be reached; nodes are reached by address and go on",
)

DNS_TCP = declare(
    id="dns.tcp",
    section=None,
    reason="DNS answers that are too long for a datagram come over TCP",
    host=RESOLVER,
    ports=53,
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    required=False,
    service="all control-plane services",
    purpose="looks names up when the answer is long",
    when_blocked="names with long answers are not found",
)
