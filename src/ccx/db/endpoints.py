"""The metadata database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import Address, Direction, Plane, Protocol, declare, from_url

if TYPE_CHECKING:
    from ccx.settings import Settings

_from_dsn = from_url(lambda s: s.dsn, "dsn")


def _host(settings: Settings) -> tuple[Address, ...]:
    # Without a host the DSN names a unix socket: still in every plan, as something that stays on the machine.
    unix = not settings.dsn or settings.dsn.partition("@")[2].startswith("/") or "///" in settings.dsn
    return (Address("localhost"),) if unix else _from_dsn(settings)


POSTGRESQL = declare(
    id="db.postgresql",
    section=8,
    host=_host,
    ports=5432,
    protocol=Protocol.TCP,
    direction=Direction.INTERNAL,
    plane=Plane.INTERNAL,
    service="PostgreSQL (CCX DB)",
    purpose="the metadata database (on one machine: a unix socket)",
    when_blocked="the control plane answers 503 and its jobs pause until the database is back; datastores go on",
)
