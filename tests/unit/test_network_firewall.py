"""The firewall that a datastore gets from the runner is the contract's, flow by flow."""

from __future__ import annotations

import pytest
from tests.unit.test_network_plan import SETTINGS

from ccx.clouds.base import Direction as Way
from ccx.clouds.base import Rule
from ccx.cmon.engines import ENGINES, get
from ccx.network import CLIENTS, CONTROL_PLANE, NODES, PEERS, RESOLVER, Direction, Plane, Status
from ccx.network.plan import Plan, plan
from ccx.runner.steps.network import rules
from ccx.settings import Settings
from ccx.settings.vendors import NAMED, OFFERS

SOURCE = "192.0.2.0/24"


def declared(found: Plan, settings: Settings) -> set[Rule]:
    """The rows that begin or end at a node, as the rules of a node's firewall."""
    peer = {
        CLIENTS: SOURCE, PEERS: "self", CONTROL_PLANE: f"{settings.control_address}/32",
        RESOLVER: f"{settings.resolver_address}/32",
    }  # fmt: skip
    wanted = set()
    for row in found.select(status=Status.BUILT):
        transport = row.protocol.transport
        if row.plane is Plane.DATA and row.group:
            if row.direction is Direction.OUTBOUND:
                wanted.add(Rule(Way.EGRESS, transport, row.port, peer[row.group]))
            if row.direction is Direction.INBOUND or row.group is PEERS:
                wanted.add(Rule(Way.INGRESS, transport, row.port, peer[row.group]))
        if row.plane is Plane.CONTROL and row.group is NODES:
            wanted.add(Rule(Way.INGRESS, transport, row.port, peer[CONTROL_PLANE]))
    return wanted


KINDS = [(vendor, kind) for vendor in sorted(ENGINES) for kind in (*OFFERS[vendor].types, *NAMED.get(vendor, ()))]


@pytest.mark.parametrize(("vendor", "kind"), KINDS, ids=[f"{vendor} {kind.code}" for vendor, kind in KINDS])
def test_a_datastores_firewall_is_what_the_contract_declares(vendor, kind):
    offer = OFFERS[vendor].model_copy(update={"types": (kind,)})
    settings = SETTINGS.model_copy(update={"databases": (offer,)})
    assert set(rules(settings, get(vendor, settings, kind.code), [SOURCE])) == declared(plan(settings), settings)
