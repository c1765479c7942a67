"""Section 2: the licence server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import Address, Direction, Plane, Protocol, Status, When, declare
from ccx.network.hosts import parse_url

if TYPE_CHECKING:
    from ccx.settings import Settings


def _server(settings: Settings) -> Address:
    return parse_url(settings.license.server_url, field="license.server_url")


TRIAL = declare(
    id="license.trial",
    section=2,
    host=_server,
    ports=443,
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
