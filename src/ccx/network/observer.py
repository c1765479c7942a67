"""What the kernel saw of connections that were opened: rules that only look, and how their sets are read.

Two chains, one before everything that may refuse and one after it. The first remembers who tried to reach what, the
second what got through; the difference was refused, by whichever rules there are. The kernel keeps it all in sets of
bounded size, so nothing runs meanwhile and nothing is lost between two readings.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network, summarize_address_range
from typing import Any, NamedTuple

from ccx.network.render.nftables import TABLE as EGRESS
from ccx.network.render.nftables import set_name

TABLE = "ccx_observed"
READ = ("nft", "-j", "list", "table", "inet", TABLE)
"""Prints the sets. To be run twice, for :func:`parse`."""
ALLOWED = ("nft", "-j", "list", "table", "inet", EGRESS)
"""Prints what the rules let pass, for :func:`named`."""

KEPT_S = 30 * 24 * 3600
_LARGEST = 8192
_CHAINS = {"tried": "filter - 10", "passed": "filter + 10"}
_DESTINATION = "meta skuid . {family} daddr . meta l4proto . th dport"
_UNIT = "socket cgroupv2 level 2 . "


@dataclass(frozen=True)
class Seen:
    """Connections of one user to one destination."""

    address: str
    port: int
    protocol: str
    """``tcp`` or ``udp``."""
    uid: int
    units: tuple[str, ...]
    """systemd's names of the units that opened them, as far as they still run."""
    passed: int
    """First packets that got through. Repeated ones count, as long as nobody answers."""
    refused: int
    """First packets that did not."""
    idle: int
    """Seconds since the last one."""


def rules(*, units: bool) -> str:
    """For ``nft -f``. Loading them again keeps what was seen. ``units``: of a machine whose services systemd runs.

    What belongs to no unit (systemd itself), and what finds a set full, is remembered by user alone. Beyond that it is
    only counted (``unrecorded``).
    """
    kinds = (("unit", "cgroupsv2 . ", _UNIT), ("user", "", "")) if units else (("user", "", ""),)
    lines = [f"table inet {TABLE} {{"]
    for chain, priority in _CHAINS.items():
        for kind, type_, _ in kinds:
            for family, address in (("ip", "ipv4_addr"), ("ip6", "ipv6_addr")):
                lines += [
                    f"  set {chain}_{kind}_{family} {{",
                    f"    type {type_}uid . {address} . inet_proto . inet_service",
                    f"    size {_LARGEST}; flags dynamic,timeout; timeout {KEPT_S}s; counter",
                    "  }",
                ]
        lines += [
            f"  counter {chain}_unrecorded {{ }}",
            f"  chain {chain} {{ type filter hook output priority {priority}; policy accept; }}",
        ]
    lines += ["}", *(f"flush chain inet {TABLE} {chain}" for chain in _CHAINS), f"table inet {TABLE} {{"]
    for chain in _CHAINS:
        lines += [
            f"  chain {chain} {{",
            '    oifname "lo" accept',
            "    ct state != new accept",
            "    meta l4proto != { tcp, udp } accept",
            # What was open before these rules is not opened now.
            "    meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn accept",
            *(
                f"    update @{chain}_{kind}_{family} {{ {unit}{_DESTINATION.format(family=family)} }} accept"
                for kind, _, unit in kinds
                for family in ("ip", "ip6")
            ),
            f"    counter name {chain}_unrecorded",
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def parse(tried: str, passed: str) -> tuple[Seen, ...]:
    """What two readings tell, of which ``tried`` is the earlier: so what comes in between never looks refused.

    Raises ValueError for what is no reading.
    """
    attempts: Counter[_Key] = Counter()
    through: Counter[_Key] = Counter()
    idle: dict[_Key, int] = {}
    units: dict[_Key, set[str]] = {}
    for text, prefix, counts in ((tried, "tried_", attempts), (passed, "passed_", through)):
        for key, unit, packets, age in _elements(text, prefix):
            counts[key] += packets
            idle[key] = min(age, idle.get(key, age))
            units.setdefault(key, set()).update([unit] if unit else ())
    return tuple(
        Seen(
            key.address, key.port, key.protocol, key.uid, tuple(sorted(units[key])), through[key],
            max(0, attempts[key] - through[key]), idle[key],
        )
        for key in sorted(idle)
    )  # fmt: skip


def named(allowed: str, hosts: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Which of the ``hosts`` an address is: the resolver said so, and the kernel's rules have it from there.

    ``allowed`` is a listing of the rules; empty where there are none. Raises ValueError for what is no listing.
    """
    try:
        listed = json.loads(allowed)["nftables"] if allowed else []
        sets = {entry["set"]["name"]: entry["set"].get("elem", ()) for entry in listed if "set" in entry}
        found = [
            (network, host)
            for host in sorted(set(hosts))
            for version in (4, 6)
            for element in sets.get(set_name(host, version), ())
            for network in _networks(element)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of nft's: {error}") from None

    def of(address: str) -> tuple[str, ...]:
        known = ip_address(address)
        return tuple(host for network, host in found if known in network)

    return of


def _networks(element: Any) -> Iterable[IPv4Network | IPv6Network]:
    """One address, a network, or a range, as nft prints a set's elements."""
    match element:
        case {"prefix": {"addr": address, "len": length}}:
            return [ip_network(f"{address}/{length}")]
        case {"range": [first, last]}:
            return list(summarize_address_range(ip_address(first), ip_address(last)))
    return [ip_network(element)]


class _Key(NamedTuple):
    address: str
    port: int
    protocol: str
    uid: int


def _elements(text: str, prefix: str) -> Iterator[tuple[_Key, str, int, int]]:
    """A node that somebody broke into may tell anything: what is passed on is well-formed, or nothing is."""
    try:
        for entry in json.loads(text)["nftables"]:
            found = entry.get("set", {})
            if found.get("name", "").startswith(prefix):
                for element in found.get("elem", ()):
                    yield _element(element["elem"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no list of nft's: {error}") from None


def _element(element: Mapping[str, Any]) -> tuple[_Key, str, int, int]:
    *group, uid, address, protocol, port = element["val"]["concat"]
    key = _Key(str(ip_address(address)), int(port), str(protocol), int(uid))
    packets, left = int(element["counter"]["packets"]), int(element["expires"])
    if not (0 < key.port < 65536 and key.protocol in ("tcp", "udp") and 0 <= key.uid < 2**32):
        raise ValueError(f"{key} is no destination")
    if not (0 <= packets < 2**62 and 0 <= left <= KEPT_S):
        raise ValueError(f"{packets} packets, {left} s left: no counter says so")
    return key, _unit(str(group[0])) if group else "", packets, KEPT_S - left


def _unit(group: str) -> str:
    """``unified/system.slice/x.service`` -> ``x.service``. A number is a group that is gone, its name with it."""
    name = group.rpartition("/")[2]
    return "" if group.isdigit() or not name.isprintable() else name[:255]
