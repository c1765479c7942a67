"""Plain lists, one entry a line, as firewalls fetch them (external dynamic lists, threat feeds, alias tables)."""

from __future__ import annotations

from collections.abc import Iterable

from ccx.network.hosts import is_address, is_loopback
from ccx.network.kinds import Direction, Plane
from ccx.network.plan import Plan, Row
from ccx.network.render.perimeter import WEB

_PLANES = (Plane.CONTROL, Plane.DATA, Plane.INSTALL)


def domains(plan: Plan, *, plane: Plane | None = None) -> str:
    """Names, ``*.wildcards`` included."""
    return _lines({host for row in _rows(plan, plane) for host in row.hosts if not is_address(host)})


def addresses(plan: Plan, *, plane: Plane | None = None) -> str:
    """Addresses and networks, where the settings give any instead of names."""
    return _lines({host for row in _rows(plan, plane) for host in row.hosts if is_address(host)})


def urls(plan: Plan, *, plane: Plane | None = None) -> str:
    """Hosts with port, where it isn't the scheme's own, and path: without scheme, as such lists are written."""
    found = set()
    for row in _rows(plan, plane):
        if row.protocol in WEB:
            port = "" if row.port in (80, 443) else f":{row.port}"
            found.add(f"{row.host}{port}{row.path or '/'}")
            found |= {f"{host}{port}/" for host in row.behind}
    return _lines(found)


def _rows(plan: Plan, plane: Plane | None) -> Iterable[Row]:
    rows = plan.select(*([plane] if plane else _PLANES), direction=Direction.OUTBOUND)
    return (row for row in rows if row.group is None and not is_loopback(row.host))


def _lines(entries: Iterable[str]) -> str:
    return "".join(f"{entry}\n" for entry in sorted(entries))
