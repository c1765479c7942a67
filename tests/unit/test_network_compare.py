"""The plan against what was seen."""

from __future__ import annotations

from tests.unit.test_network_endpoint import endpoint
from tests.unit.test_network_plan import SETTINGS

from ccx.network import NODES, PEERS, Direction, Plane, Protocol
from ccx.network.compare import Comparison, Destination, Verdict
from ccx.network.plan import plan

ROWS = [
    endpoint(id="test.name", behind=("cdn.example",)),
    endpoint(id="test.nodes", host=NODES, ports=22, protocol=Protocol.TCP),
    endpoint(id="test.peers", host=PEERS, ports=5432, protocol=Protocol.TCP, plane=Plane.DATA),
    endpoint(id="test.dns", host="192.0.2.53", ports=53, protocol=Protocol.UDP),
    endpoint(id="test.local", host="localhost", ports=4222, plane=Plane.INTERNAL),
    endpoint(id="test.in", host="192.0.2.9", ports=443, direction=Direction.INBOUND),
]
NODE = "10.224.1.7"


def to(
    address: str, port: int, protocol: str = "tcp", plane: Plane = Plane.CONTROL, names: tuple[str, ...] = ()
) -> Destination:
    return Destination(plane, address, port, protocol, names)


def comparison() -> Comparison:
    return Comparison(plan(SETTINGS.model_copy(update={"node_network": "10.224.0.0/20"}), ROWS))


def test_members_of_a_group_are_declared_on_their_port_protocol_and_plane_only():
    judge = comparison()
    assert judge.verdict(to(NODE, 22)) is Verdict.DECLARED
    assert judge.verdict(to("10.225.0.1", 22)) is Verdict.UNDECLARED
    assert judge.verdict(to(NODE, 23)) is Verdict.UNDECLARED
    assert judge.verdict(to(NODE, 22, "udp")) is Verdict.UNDECLARED
    assert judge.verdict(to(NODE, 22, plane=Plane.DATA)) is Verdict.UNDECLARED
    assert judge.verdict(to(NODE, 5432, plane=Plane.DATA)) is Verdict.DECLARED


def test_a_host_known_by_name_is_declared_at_the_addresses_that_the_resolver_gave():
    assert comparison().verdict(to("203.0.113.1", 443)) is Verdict.UNDECLARED
    for name in ("api.example", "cdn.example"):
        assert comparison().verdict(to("203.0.113.1", 443, names=(name,))) is Verdict.DECLARED
    assert comparison().verdict(to("203.0.113.1", 443, names=("evil.example",))) is Verdict.UNDECLARED


def test_what_listens_is_no_leave_to_connect():
    assert comparison().verdict(to("192.0.2.9", 443)) is Verdict.UNDECLARED


def test_rows_that_nothing_went_by_are_unused_and_loopback_is_never_called_so():
    judge = comparison()
    used = [to(NODE, 22), to("203.0.113.1", 443, names=("cdn.example",)), to("198.51.100.1", 53, "udp")]
    assert {row.id for row in judge.unused(used)} == {"test.peers", "test.dns"}
    assert {row.id for row in judge.unused([])} == {"test.name", "test.nodes", "test.peers", "test.dns"}


def test_a_group_that_the_settings_do_not_know_is_judged_by_port():
    blind = Comparison(plan(SETTINGS.model_copy(update={"node_network": ""}), ROWS))
    assert blind.verdict(to("10.99.0.1", 22)) is Verdict.DECLARED
    assert blind.verdict(to("10.99.0.1", 23)) is Verdict.UNDECLARED


def test_a_node_of_another_datastore_is_no_peer() -> None:
    for peers, verdict in ((frozenset({NODE}), Verdict.DECLARED), (frozenset({"10.224.1.8"}), Verdict.UNDECLARED)):
        assert comparison().verdict(Destination(Plane.DATA, NODE, 5432, "tcp", peers=peers)) is verdict


def test_what_was_refused_though_it_is_declared_is_told_apart_from_what_is_not() -> None:
    judge = comparison()
    assert judge.verdict(to(NODE, 22), passed=False) is Verdict.BLOCKED
    assert judge.verdict(to(NODE, 23), passed=False) is Verdict.REFUSED
