"""Section 2: the licence server."""

from ccx.network import Direction, Plane, Protocol, Status, When, declare, from_url

TRIAL = declare(
    id="license.trial",
    section=2,
    host=from_url(lambda s: s.license.server_url, "license.server_url"),
    ports=443,
    path="/service/lic.php",
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    needed=When(lambda s: not s.license.preset, "cmon.license is not set"),
    required=False,
    service="ccx-auth-service",
    purpose="fetches a trial licence when the first user registers",
    when_blocked="the error is logged and registration succeeds; cmon stays unlicensed and enforces its limits",
    status=Status.PLANNED,
)
