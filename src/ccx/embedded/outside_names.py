"""Names outside of this machine: looked up by the supervisor, which has the host's resolver; told to the parts.

The parts have no DNS but the instance's own. What they may connect to by name stands in a ``hosts`` file that only they
see, and its addresses in the sets of the namespace's rules, so that both always speak of the same addresses.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from ccx.embedded import namespace
from ccx.embedded.external import Destination, destinations, hosts_of
from ccx.embedded.layout import Layout
from ccx.embedded.report import Report
from ccx.errors import CcxError, Invalid
from ccx.network.plan import Plan
from ccx.network.render import render

_EVERY_S = 30.0
_LOCAL = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"

Addresses = Mapping[str, tuple[str, ...]]


async def look_up(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each name's IPv4 addresses. Raises Invalid for a name that has none, or only this machine's loopback."""
    found = {}
    for name in names:
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(
                name, None, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise Invalid(
                f"this machine finds no IPv4 address of {name}: {error.strerror or error}",
                field=name,
                remedy="Correct the name, or this machine's resolver",
            ) from None
        addresses = tuple(sorted({str(answer[4][0]) for answer in answers}))
        if any(ip_address(address).is_loopback for address in addresses):
            raise Invalid(
                f"{name} is {addresses[0]} here, which the control plane has a namespace of its own for",
                field=name,
                remedy="Name an address of this machine that others can reach",
            )
        found[name] = addresses
    return found


async def look_up_each(wanted: Iterable[Destination]) -> tuple[dict[str, tuple[str, ...]], dict[Destination, CcxError]]:
    """What is known of the destinations' names, and those whose name has no address that is good."""
    found: dict[str, tuple[str, ...]] = {}
    problems: dict[Destination, CcxError] = {}
    for one in wanted:
        try:
            found |= await look_up(hosts_of([one]))
        except Invalid as error:
            problems[one] = error
    return found, problems


def write(layout: Layout, plan: Plan, addresses: Addresses) -> None:
    """The parts' ``hosts`` file and the kernel's rules, for the next ``nft -f``."""
    lines = [f"{address} {name}\n" for name, known in sorted(addresses.items()) for address in known]
    _overwrite(layout, _LOCAL + "".join(lines))
    layout.egress_rules.write_text(render(plan, "nftables", resolved=addresses))


async def follow(layout: Layout, plan: Plan, report: Report) -> None:
    """Looks names up again and again, for ever. One that isn't found any more keeps the addresses that it had."""
    names = hosts_of(destinations(plan, layout))
    known = _written(layout, names)
    while names:
        fresh = dict(known)
        for name in names:
            try:
                fresh |= await look_up([name])
            except Invalid:
                continue
        if fresh != known:
            try:
                write(layout, plan, fresh)
                await namespace.enforce(layout, layout.egress_rules)
                report.line(f"  addresses of {', '.join(n for n in names if fresh.get(n) != known.get(n))} changed")
                known = fresh
            except (CcxError, OSError) as error:
                report.line(f"  names           {error}")
        await asyncio.sleep(_EVERY_S)


def _written(layout: Layout, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What :func:`write` wrote of these names."""
    found: dict[str, tuple[str, ...]] = {}
    lines = layout.hosts_file.read_text().splitlines() if layout.hosts_file.exists() else ()
    for address, name, *_ in (line.split() for line in lines):
        if name in names:
            found[name] = (*found.get(name, ()), address)
    return found


def _overwrite(layout: Layout, text: str) -> None:
    """In place, since the parts have this very file bound; a reader in between sees old lines after new ones."""
    descriptor = os.open(layout.hosts_file, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.fchmod(descriptor, 0o644)
        os.pwrite(descriptor, (data := text.encode()), 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)
