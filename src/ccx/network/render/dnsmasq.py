"""dnsmasq: the resolver fills the nftables sets of hosts known by name, each time it answers for one."""

from __future__ import annotations

from ccx.network.hosts import is_address, is_loopback
from ccx.network.kinds import Plane
from ccx.network.plan import Plan
from ccx.network.render.nftables import TABLE, egress, set_name


def render(plan: Plan, *, plane: Plane = Plane.CONTROL, table: str = TABLE, planned: bool = False) -> str:
    """``nftset=`` lines for the resolver of the machines that the ``nftables`` format was loaded for."""
    names = {
        host
        for row in egress(plan, plane, planned=planned)
        for host in row.hosts
        if not (is_address(host) or is_loopback(host) or (row.group and host == row.host))
    }
    lines = (
        f"nftset=/{name.removeprefix('*.')}/4#inet#{table}#{set_name(name, 4)},6#inet#{table}#{set_name(name, 6)}"
        for name in sorted(names)
    )
    return "".join(f"{line}\n" for line in lines)
