"""nftables: egress of one plane's machines, denied but for the plan. Loading it replaces an earlier load atomically."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network

from ccx.errors import Invalid
from ccx.network.hosts import is_address, is_loopback
from ccx.network.kinds import Direction, Group, Plane, Status
from ccx.network.plan import Plan, Row

TABLE = "ccx_egress"
_LONGEST_COMMENT = 120


def render(
    plan: Plan,
    *,
    plane: Plane = Plane.CONTROL,
    groups: Mapping[Group, str | Iterable[str]] | None = None,
    resolved: Mapping[str, Iterable[str]] | None = None,
    table: str = TABLE,
    log_group: int | None = 41,
    planned: bool = False,
) -> str:
    """The ruleset for ``nft -f``, to be loaded in the network namespace (or on the machine) of ``plane``.

    ``groups`` says who is in a group (networks or addresses) where the settings don't, or know better; a group that
    nobody knows becomes an empty set that the operator fills. Hosts known by name become sets as well: ``resolved``
    fills them now, and the ``dnsmasq`` format has the resolver fill them as names are looked up. Refused packets are
    counted (``refused``), logged to NFLOG ``log_group`` (None: not logged) and rejected, so that callers fail at once.
    Planned rows open nothing, and stand there as comments; with ``planned`` they are opened as well.
    """
    known = {**plan.groups, **{group: _listed(members) for group, members in (groups or {}).items()}}
    addresses = {host: tuple(found) for host, found in (resolved or {}).items()}
    rows = egress(plan, plane, planned=planned)
    sets: dict[str, tuple[str, int, tuple[str, ...]]] = {}
    rules: list[str] = []
    for row in rows:
        for host in row.hosts:
            if is_loopback(host):
                continue
            for family, version in (("ip", 4), ("ip6", 6)):
                match = _match(row, host, version, known, addresses, sets)
                if match:
                    comment = f"{row.id}: {row.purpose}"[:_LONGEST_COMMENT].replace('"', "'")
                    rules.append(
                        f"{family} daddr {match} {row.protocol.transport} dport {row.port} "
                        f'counter accept comment "{comment}"'
                    )
    waiting = [] if planned else [r for r in egress(plan, plane, planned=True) if r.status is Status.PLANNED]
    lines = [
        *(f"# planned, not opened: {row.id} {row.where} {row.protocol}" for row in waiting),
        f"table inet {table}",
        f"delete table inet {table}",
        f"table inet {table} {{",
        "  counter refused { }",
        *(line for name, definition in sorted(sets.items()) for line in _set(name, *definition)),
        "  chain output {",
        "    type filter hook output priority filter; policy drop;",
        '    oifname "lo" accept',
        "    ct state established,related accept",
        # Who opens a connection is judged. One that was there before the rules, or was idle for days, goes on.
        "    meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn accept",
        "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept",
        *(f"    {rule}" for rule in dict.fromkeys(rules)),
        "    counter name refused",
    ]
    if log_group is not None:
        lines.append(f'    limit rate 100/second burst 200 packets log prefix "ccx refused: " group {log_group}')
    # A TCP connect would take an ICMP error for a passing trouble and go on until it times out; a reset ends it.
    reject = ["    meta l4proto tcp reject with tcp reset", "    reject with icmpx type admin-prohibited"]
    return "\n".join([*lines, *reject, "  }", "}", ""])


def egress(plan: Plan, plane: Plane, *, planned: bool = False) -> tuple[Row, ...]:
    """The rows that machines of ``plane`` connect to themselves; the control plane's include its internal services."""
    planes = (Plane.CONTROL, Plane.INTERNAL) if plane is Plane.CONTROL else (plane,)
    return tuple(
        row
        for row in plan.select(*planes, status=None if planned else Status.BUILT)
        if row.direction is not Direction.INBOUND and not row.via
    )


def set_name(host: str, version: int) -> str:
    """The set that holds a named host's (or a group's) addresses."""
    name = re.sub(r"[^a-z0-9]+", "_", host.removeprefix("*."))
    return f"{name}_v{version}"


def _match(
    row: Row,
    host: str,
    version: int,
    groups: Mapping[Group, tuple[str, ...]],
    addresses: Mapping[str, tuple[str, ...]],
    sets: dict[str, tuple[str, int, tuple[str, ...]]],
) -> str | None:
    """What ``daddr`` is compared with, or None where there is nothing of this IP version."""
    if is_address(host):
        return host if ip_network(host, strict=False).version == version else None
    is_group = row.group is not None and host == row.host
    members = groups.get(row.group, ()) if is_group and row.group else addresses.get(host, ())
    fitting = tuple(m for m in members if _network(m, host).version == version)
    # A group's addresses are known or to be filled in by hand: IPv6 only where there is some. A name may have both.
    if version == 6 and is_group and not fitting:
        return None
    name = set_name(host, version)
    sets[name] = (host, version, fitting)
    return f"@{name}"


def _set(name: str, host: str, version: int, members: tuple[str, ...]) -> list[str]:
    kind = "ipv4_addr" if version == 4 else "ipv6_addr"
    # dnsmasq adds single addresses; auto-merge lets it add one twice.
    body = [f"    type {kind}; flags interval; auto-merge"]
    if members:
        body.append(f"    elements = {{ {', '.join(members)} }}")
    return [f"  set {name} {{", f'    comment "{host}"', *body, "  }"]


def _listed(members: str | Iterable[str]) -> tuple[str, ...]:
    return (members,) if isinstance(members, str) else tuple(members)


def _network(text: str, where: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise Invalid(f"{text!r} is no network", field=where, remedy="Write it as 10.224.1.0/24") from None
