"""What a node may connect to: its own cluster's members, the control plane, the resolver; not other vendors' hosts."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from agent.ccx_agent import egress_names
from tests.unit.cluster_specs import cluster
from tests.unit.test_network_plan import SETTINGS

from ccx.cmon import egress
from ccx.cmon.node_channel import NodeRefused, NodeUnreachable
from ccx.cmon.spec import NodeSpec
from ccx.network.page import everything

THREE = cluster("n1g1", "n2g1", "n3g1")


def files(label: str, of: Any = THREE) -> dict[str, str]:
    write, _ = egress.calls(SETTINGS, of, label)
    return {file["path"]: file["content"] for file in write["args"]["files"]}


def test_a_nodes_peers_are_the_other_members_and_not_itself():
    rules = files("n2g1")[egress.RULES]
    assert "elements = { 192.0.2.1, 192.0.2.3 }" in rules
    assert "192.0.2.2" not in rules


def test_a_node_without_peers_may_reach_none():
    alone = files("n1g1", cluster("n1g1"))[egress.RULES]
    assert "set group_peers_v4" in alone
    assert "192.0.2" not in alone


def test_rules_are_the_same_in_whatever_order_the_members_are_told():
    text = egress.rules(SETTINGS, "postgres", "17", ["192.0.2.3", "192.0.2.1"])
    assert text == egress.rules(SETTINGS, "postgres", "17", ["192.0.2.1", "192.0.2.3"])


def test_a_vendor_that_is_no_longer_on_offer_keeps_its_nodes_together():
    none = SETTINGS.model_copy(update={"databases": ()})
    assert "dport 5432" in egress.rules(none, "postgres", "17", ["192.0.2.1"])


def test_a_node_may_reach_the_egress_proxy_and_not_the_hosts_that_it_reaches_by_it() -> None:
    proxied = everything().model_copy(update={"egress_proxy": "http://u:hunter2@10.9.8.7:3128"})
    text = egress.rules(proxied, "postgres", "17", [])
    assert "ip daddr 10.9.8.7 tcp dport 3128" in text
    assert "hunter2" not in text
    assert "deb.debian.org" not in text
    assert "apt.postgresql.org" not in text


def test_the_unit_is_enabled_so_that_the_rules_are_there_before_the_network_at_every_boot():
    _, services = egress.calls(SETTINGS, THREE, "n1g1")
    unit = files("n1g1")[f"/etc/systemd/system/{egress.UNIT}"]
    assert "Before=network-pre.target" in unit
    assert services == {"verb": "services", "args": {"enable": [egress.UNIT], "restart": [egress.UNIT]}}


def test_hosts_known_by_name_are_looked_up_by_the_node_as_long_as_there_are_any() -> None:
    assert json.loads(files("n1g1")[egress.NAMES]) == []
    assert f"/etc/systemd/system/{egress.NAMES_TIMER}" not in files("n1g1")
    # Nodes of stock images install packages, from hosts that are known by name.
    named = egress.names(everything(), "postgres", "17")
    text = egress.rules(everything(), "postgres", "17", [])
    assert "deb.debian.org" in {host for host, *_ in named}
    for _, four, six in named:
        assert f"set {four} {{" in text
        assert f"set {six} {{" in text
    write, services = egress.calls(everything(), THREE, "n1g1")
    assert egress.NAMES_TIMER in services["args"]["restart"]
    assert any(file["path"].endswith(egress.NAMES_TIMER) for file in write["args"]["files"])


def test_what_a_name_is_called_now_is_added_to_its_sets_of_each_ip_version(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.9", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::9", 0, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    told = egress_names.commands([["mirror.example", "m_v4", "m_v6"]], [egress_names.addresses("mirror.example")])
    assert told.splitlines() == [
        "add element inet ccx_egress m_v4 { 192.0.2.9 }",
        "add element inet ccx_egress m_v6 { 2001:db8::9 }",
    ]


def test_a_name_that_is_not_found_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    assert egress_names.commands([["gone.example", "g_v4", "g_v6"]], [egress_names.addresses("gone.example")]) == ""


class Channel:
    """Hears what nodes are told."""

    def __init__(self, **failures: Exception) -> None:
        self.told: dict[str, Any] = {}
        self._failures = failures

    async def call(self, node: NodeSpec, verb: str, args: Any = None, **_: Any) -> dict[str, Any]:
        if node.label in self._failures:
            raise self._failures[node.label]
        self.told[node.label] = args
        return {}

    async def close(self) -> None: ...


def test_all_but_the_new_one_are_told_and_one_that_is_away_stops_nobody():
    channel = Channel(n2g1=NodeUnreachable("n2g1 can't be reached"))
    missed = asyncio.run(egress.tell(channel, SETTINGS, THREE, 7, without="n3g1"))
    assert missed == ["n2g1"]
    assert set(channel.told) == {"n1g1"}


def test_a_node_that_refuses_its_rules_is_an_error():
    with pytest.raises(NodeRefused):
        asyncio.run(egress.tell(Channel(n1g1=NodeRefused("nft is not installed")), SETTINGS, THREE, 7))
