"""squid: a forward proxy that lets through what the plan has, and nothing else. The file is a whole squid.conf."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ccx.network.hosts import is_address
from ccx.network.kinds import CONTROL_PLANE, NODES, Plane, Protocol, Status
from ccx.network.plan import Plan, Row
from ccx.network.render.perimeter import mark, web

_SPECIAL = re.compile(r"[].[()*+?{}|^$\\]")
_SOURCES = {Plane.CONTROL: CONTROL_PLANE, Plane.DATA: NODES}


def render(plan: Plan, *, port: int = 3128) -> str:
    """``squid.conf``, listening on ``port``.

    Sources are narrowed to the control plane's and nodes' addresses as far as the settings know them. HTTPS is
    tunnelled to named hosts without being opened; plain HTTP is narrowed to the row's path.
    """
    lines = ["# Egress of CCX, from its network contract. Rows that are planned are marked: nothing uses them yet.",
             f"http_port {port}", "cache deny all", "via off", "forwarded_for delete",
             "acl ccx_connect method CONNECT"]  # fmt: skip
    for plane in (Plane.CONTROL, Plane.DATA, Plane.INSTALL):
        members = plan.groups.get(_SOURCES[plane], ()) if plane in _SOURCES else ()
        source = f"ccx_{plane}"
        rows = web(plan, plane)
        if not rows:
            continue
        lines += ["", f"# {plane}", f"acl {source} src {' '.join(members) or 'all'}"]
        for number in sorted({row.port for row in rows}):
            lines += _tunnels(source, number, [r for r in rows if r.port == number and r.protocol is Protocol.HTTPS])
        for index, row in enumerate(row for row in rows if row.protocol is Protocol.HTTP):
            lines += _plain(source, index, row)
    return "\n".join([*lines, "", "http_access deny all", ""])


def _tunnels(source: str, port: int, rows: list[Row]) -> list[str]:
    if not rows:
        return []
    name = f"{source}_{port}"
    lines = [f"acl {name}_port port {port}"]
    for row in rows:
        lines.append(f"# {mark(row)}: {row.purpose}")
    for kind, acl in (("names", "dstdomain"), ("addresses", "dst")):
        hosts = _hosts(rows, addresses=kind == "addresses")
        lines += [f"acl {name}_{kind} {acl} {host}" for host in hosts]
        if hosts:
            lines.append(f"http_access allow {source} ccx_connect {name}_port {name}_{kind}")
    return lines


def _plain(source: str, index: int, row: Row) -> list[str]:
    # Squid's names have 63 characters at most, which an id and a host together may exceed.
    name = f"{source}_http_{index}"
    planned = " (planned)" if row.status is Status.PLANNED else ""
    lines = [f"# {row.id}{planned}: {row.purpose}", f"acl {name}_port port {row.port}"]
    for kind, acl in (("names", "dstdomain"), ("addresses", "dst")):
        hosts = _hosts([row], addresses=kind == "addresses")
        lines += [f"acl {name}_{kind} {acl} {host}" for host in hosts]
        if hosts:
            path = ""
            if row.path and not row.behind:
                path = f" {name}_path"
                escaped = _SPECIAL.sub(lambda found: "\\" + found.group(), row.path)
                lines.append(f"acl {name}_path urlpath_regex ^{escaped}")
            lines.append(f"http_access allow {source} !ccx_connect {name}_port {name}_{kind}{path}")
    return lines


def _hosts(rows: Iterable[Row], *, addresses: bool) -> list[str]:
    """Each once; squid refuses a name that a wildcard of the same list covers."""
    found = sorted({host for row in rows for host in row.hosts if is_address(host) is addresses})
    wild = {host[1:] for host in found if host.startswith("*.")}
    exact = [h for h in found if not h.startswith("*.") and not any(f".{h}".endswith(w) for w in wild)]
    outer = [w for w in wild if not any(w != other and w.endswith(other) for other in wild)]
    return sorted([*exact, *outer])
