"""The router's rules, from the clouds' firewalls. Pure: text for ``nft -f``, loaded in one transaction.

Every packet is judged by its flow's *first* packet (``ct original``), established or not and in both directions. So a
rule that is taken away cuts the flows that it allowed, with no hunt for connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from ccx.clouds.base import Direction, Firewall, Rule
from ccx.clouds.local.place import Place
from ccx.errors import Invalid

TABLE = "ip ccx_cloud"
COUNTERS = ("cut", "other")
"""Of what no firewall denied."""


@dataclass(frozen=True)
class Picture:
    """All that the rules depend on."""

    place: Place
    firewalls: Sequence[Firewall]
    members: Mapping[str, Sequence[IPv4Address]]
    """Nodes by their firewall's name."""
    cut: Sequence[IPv4Address] = ()
    """Nodes whose network a test has cut: not a packet passes, and nobody is told."""
    off: Sequence[IPv4Address] = field(default=())
    """Nodes that do not run: who talks to them is told at once, instead of waiting for an answer."""


def counter(firewalls: Sequence[Firewall], name: str) -> str:
    """The counter of what a firewall denied."""
    return f"denied{[f.name for f in firewalls].index(name)}"


def check(firewall: Firewall) -> None:
    """Raises Invalid for a rule that can't be one."""
    for rule in firewall.rules:
        if rule.protocol not in ("tcp", "udp"):
            raise Invalid(f"{rule.protocol!r} is no protocol of a rule", field="protocol", remedy="Use tcp or udp")
        if not 0 < rule.port < 65536:
            raise Invalid(f"{rule.port} is no port", field="port", remedy="Use 1 to 65535")
        if rule.peer != "self":
            try:
                IPv4Network(rule.peer)
            except ValueError as error:
                raise Invalid(str(error), field="peer", remedy="Give an IPv4 network such as 192.0.2.0/24") from None


def render(picture: Picture) -> str:
    """The whole table, replacing an earlier one at once."""
    place = picture.place
    nodes = sorted(address for members in picture.members.values() for address in members)
    lines = [f"table {TABLE} {{}}", f"delete table {TABLE}", f"table {TABLE} {{"]
    lines += _set("nodes", nodes) + _set("cut", picture.cut) + _set("off", picture.off)
    for index, firewall in enumerate(picture.firewalls):
        lines += [f"counter denied{index} {{}}", *_set(f"members{index}", picture.members.get(firewall.name, ()))]
        lines += _chain(f"egress{index}", index, firewall, Direction.EGRESS)
        lines += _chain(f"ingress{index}", index, firewall, Direction.INGRESS)
    for direction in Direction:
        jumps = {
            address: f"jump {direction}{index}"
            for index, firewall in enumerate(picture.firewalls)
            for address in picture.members.get(firewall.name, ())
        }
        lines += _map(direction.value, jumps)
    lines += [
        *(f"counter {name} {{}}" for name in COUNTERS),
        "chain forward {",
        "type filter hook forward priority filter; policy drop;",
        "ip daddr @off ip protocol tcp reject with tcp reset",
        "ip daddr @off reject with icmp type host-unreachable",
        "ip saddr @cut counter name cut drop",
        "ip daddr @cut counter name cut drop",
        "ct state invalid drop",
        "ct original ip saddr vmap @egress",
        "ct original ip daddr vmap @ingress",
        "ct original ip saddr @nodes accept",
        "ct original ip daddr @nodes accept",
        f"ct original ip saddr {place.host} ct original ip daddr {place.control} accept",
        "counter name other drop",
        "}",
        "chain input {",
        "type filter hook input priority filter; policy drop;",
        "ip saddr @cut counter name cut drop",
        "ct state invalid drop",
        'iifname "lo" accept',
        "ct original ip saddr vmap @egress",
        f"ip daddr {place.router} udp dport 53 accept",
        f"ip daddr {place.router} tcp dport 53 accept",
        f"ip daddr {place.mirror} tcp dport 80 accept",
        "ct state established,related accept",
        f"ip saddr {{ {place.host}, {place.control} }} icmp type echo-request accept",
        "counter name other drop",
        "}",
        "chain output {",
        "type filter hook output priority filter; policy accept;",
        "ip daddr @cut counter name cut drop",
        "}",
        "}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _chain(name: str, index: int, firewall: Firewall, direction: Direction) -> list[str]:
    """Returns to the caller for what a rule allows; drops and counts everything else."""
    rules = [rule for rule in firewall.rules if rule.direction is direction]
    lines = [f"chain {name} {{"]
    for protocol, port in sorted({(rule.protocol, rule.port) for rule in rules}):
        of_port = [rule for rule in rules if (rule.protocol, rule.port) == (protocol, port)]
        for peers in _peers(of_port, index, "saddr" if direction is Direction.INGRESS else "daddr"):
            lines.append(f"{peers}ct protocol {protocol} ct original proto-dst {port} return")
    return [*lines, f"counter name denied{index} drop", "}"]


def _peers(rules: Iterable[Rule], index: int, side: str) -> list[str]:
    """How the other side is matched: by membership, and by networks that don't overlap."""
    peers = {rule.peer for rule in rules}
    matches = [f"ct original ip {side} @members{index} "] if "self" in peers else []
    networks = list(collapse_addresses(IPv4Network(peer) for peer in peers if peer != "self"))
    if any(network.prefixlen == 0 for network in networks):
        return [""]
    if networks:
        matches.append(f"ct original ip {side} {{ {', '.join(map(str, networks))} }} ")
    return matches


def _set(name: str, addresses: Iterable[IPv4Address]) -> list[str]:
    elements = ", ".join(map(str, sorted(set(addresses))))
    return [f"set {name} {{ type ipv4_addr;{f' elements = {{ {elements} }};' if elements else ''} }}"]


def _map(name: str, verdicts: Mapping[IPv4Address, str]) -> list[str]:
    elements = ", ".join(f"{address} : {verdict}" for address, verdict in sorted(verdicts.items()))
    return [f"map {name} {{ type ipv4_addr : verdict;{f' elements = {{ {elements} }};' if elements else ''} }}"]
