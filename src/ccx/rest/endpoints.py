"""What the control plane listens on."""

from ccx.network import USERS, Direction, Plane, Protocol, declare

PUBLIC = declare(
    id="rest.public",
    section=None,
    reason="The specification lists outbound connections only",
    host=USERS,
    ports=443,
    protocol=Protocol.HTTPS,
    direction=Direction.INBOUND,
    plane=Plane.CONTROL,
    service="ccx-rest-user",
    purpose="console, REST API and the ccx command",
    when_blocked="nobody can manage datastores; they go on",
)

REST_USER = declare(
    id="rest.user",
    section=8,
    host="localhost",
    ports=18091,
    protocol=Protocol.HTTP,
    direction=Direction.INTERNAL,
    plane=Plane.INTERNAL,
    service="ccx-rest-user",
    purpose="the REST API without TLS, for what runs beside it: an ingress, scripts",
    when_blocked="what calls it inside gets no answer; the public port, which needs it not, and datastores go on",
)
