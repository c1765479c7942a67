"""Picks the /20 of an instance: one that no route, address or other instance of this machine has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, ip_network

from ccx.embedded.layout import installed, remembered
from ccx.embedded.shell import run
from ccx.errors import Conflict, Invalid

_POOL = IPv4Network("10.224.0.0/12")
_LENGTH = 20


def parse(text: str) -> IPv4Network:
    """What ``--subnet`` says. Raises Invalid for anything but an IPv4 /20 without host bits."""
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise Invalid(str(error), field="--subnet", remedy="Give an IPv4 network, such as 10.230.0.0/20") from None
    if subnet.prefixlen != _LENGTH:
        raise Invalid(f"{subnet} is no /{_LENGTH}", field="--subnet", remedy=f"Give a /{_LENGTH}: 10.230.0.0/{_LENGTH}")
    return subnet


async def taken(besides: str) -> list[tuple[IPv4Network, str]]:
    """The networks that this machine uses, each with who has it; not those of the instance ``besides``."""
    found = []
    own = remembered(besides)
    for route in json.loads(await run("ip", "-j", "-4", "route", "show", "table", "all")):
        if (destination := route.get("dst", "default")) == "default" or route.get("type") == "broadcast":
            continue
        network = ip_network(destination, strict=False)
        if isinstance(network, IPv4Network) and not (own and network.subnet_of(own.subnet)):
            found.append((network, f"a route of {route.get('dev', 'this machine')}"))
    others = [layout for name in installed() if name != besides and (layout := remembered(name))]
    return found + [(other.subnet, f"instance {other.instance!r}") for other in others]


def refuse_overlap(subnet: IPv4Network, networks: Iterable[tuple[IPv4Network, str]]) -> None:
    """Raises Conflict naming who has (part of) ``subnet``."""
    for network, who in networks:
        if network.overlaps(subnet):
            raise Conflict(
                f"{subnet} overlaps {network}, {who}", field="--subnet", remedy="Give another one with --subnet"
            )


def choose(networks: Iterable[tuple[IPv4Network, str]]) -> IPv4Network:
    """The first free /20 of the pool. Raises Conflict when there is none."""
    used = [network for network, _ in networks]
    for subnet in _candidates():
        if not any(subnet.overlaps(network) for network in used):
            return subnet
    raise Conflict(f"no free /{_LENGTH} in {_POOL}", field="--subnet", remedy="Give one of yours with --subnet")


def _candidates() -> Iterator[IPv4Network]:
    return _POOL.subnets(new_prefix=_LENGTH)
