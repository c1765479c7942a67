"""The router's rules as text; what they do to packets is proved in ``tests/e2e/test_local_cloud.py``."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.clouds.base import Direction, Firewall, Rule
from ccx.clouds.local.firewall import Picture, check, counter, render
from ccx.clouds.local.place import Place
from ccx.errors import Invalid

PLACE = Place("test", IPv4Network("10.230.0.0/20"))


def chain(text: str, name: str) -> list[str]:
    lines = text.splitlines()
    start = lines.index(f"chain {name} {{")
    return lines[start + 1 : lines.index("}", start)]


def rendered(*rules: Rule) -> str:
    return render(Picture(PLACE, [Firewall("fw", rules)], {"fw": [PLACE.node(256), PLACE.node(257)]}))


def test_a_firewall_without_rules_denies_everything_and_counts_it() -> None:
    for direction in Direction:
        assert chain(rendered(), f"{direction}0") == ["counter name denied0 drop"]


def test_a_rule_is_judged_by_who_began_the_flow() -> None:
    text = rendered(
        Rule(Direction.INGRESS, "tcp", 5432, "192.0.2.0/24"), Rule(Direction.EGRESS, "udp", 53, "10.230.0.1/32")
    )
    assert chain(text, "ingress0")[0] == (
        "ct original ip saddr { 192.0.2.0/24 } ct protocol tcp ct original proto-dst 5432 return"
    )
    assert chain(text, "egress0")[0] == (
        "ct original ip daddr { 10.230.0.1/32 } ct protocol udp ct original proto-dst 53 return"
    )


def test_self_means_the_firewalls_own_members() -> None:
    text = rendered(Rule(Direction.INGRESS, "tcp", 2380, "self"))
    assert "set members0 { type ipv4_addr; elements = { 10.230.1.0, 10.230.1.1 }; }" in text
    assert chain(text, "ingress0")[0].startswith("ct original ip saddr @members0 ct protocol tcp")


def test_networks_that_overlap_become_one_as_a_set_can_not_hold_both() -> None:
    text = rendered(
        *(Rule(Direction.INGRESS, "tcp", 22, peer) for peer in ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32"))
    )
    assert chain(text, "ingress0")[0].startswith("ct original ip saddr { 10.0.0.0/8, 192.0.2.1/32 } ")


def test_everybody_is_no_match_at_all() -> None:
    text = rendered(Rule(Direction.INGRESS, "tcp", 22, "0.0.0.0/0"), Rule(Direction.INGRESS, "tcp", 22, "self"))
    assert chain(text, "ingress0")[:-1] == ["ct protocol tcp ct original proto-dst 22 return"]


def test_a_stopped_machine_is_answered_for_before_a_cut_one_is_dropped() -> None:
    node = PLACE.node(256)
    lines = chain(render(Picture(PLACE, [], {}, cut=[node], off=[node])), "forward")
    assert lines.index("ip daddr @off ip protocol tcp reject with tcp reset") < lines.index(
        "ip daddr @cut counter name cut drop"
    )


def test_the_table_is_replaced_in_one_transaction() -> None:
    assert rendered().splitlines()[:3] == ["table ip ccx_cloud {}", "delete table ip ccx_cloud", "table ip ccx_cloud {"]


def test_counters_are_found_by_the_firewalls_order() -> None:
    assert counter([Firewall("a"), Firewall("b")], "b") == "denied1"


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (Rule(Direction.INGRESS, "icmp", 1, "self"), "protocol"),
        (Rule(Direction.INGRESS, "tcp", 0, "self"), "port"),
        (Rule(Direction.INGRESS, "tcp", 65536, "self"), "port"),
        (Rule(Direction.INGRESS, "tcp", 22, "10.0.0.1/8"), "peer"),
        (Rule(Direction.INGRESS, "tcp", 22, "db.example.net; accept"), "peer"),
    ],
)
def test_what_is_no_rule_is_refused_by_its_field(rule: Rule, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(Firewall("fw", (rule,)))
    assert refused.value.field == field


networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 32)).map(
    lambda pair: str(IPv4Network((pair[0] >> (32 - pair[1]) << (32 - pair[1]), pair[1])))
)


@given(st.lists(networks, min_size=1, max_size=8))
def test_every_allowed_network_is_covered_and_none_overlap(peers: list[str]) -> None:
    line = chain(rendered(*(Rule(Direction.INGRESS, "tcp", 22, peer) for peer in peers)), "ingress0")[0]
    if "{" not in line:  # they add up to everybody
        return
    listed = [IPv4Network(text.strip()) for text in line.partition("{")[2].partition("}")[0].split(",")]
    assert all(any(IPv4Network(peer).subnet_of(network) for network in listed) for peer in peers)
    assert not any(a.overlaps(b) for i, a in enumerate(listed) for b in listed[i + 1 :])
