"""Settings to rows, and rows to JSON."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_network_endpoint import endpoint

from ccx.errors import Invalid
from ccx.network import CONTROL_PLANE, NODES, Direction, Plane, When
from ccx.network.plan import plan
from ccx.network.render import FORMATS, render
from ccx.network.render.json import schema
from ccx.settings import CloudConfig, Paths, Settings

SETTINGS = Settings(
    paths=Paths.of("test"), node_network="10.224.1.0/24", control_address="10.224.0.2", resolver_address="10.224.0.1",
    dsn="postgresql+psycopg://ccx@/ccx?host=/run/ccx/test/postgresql", nats_url="nats://127.0.0.1:4222",
)  # fmt: skip


def cloud(type_: str) -> CloudConfig:
    return CloudConfig(code="c", type=type_, name="C", regions=(), instance_types=(), volume_types=())


def test_there_is_one_row_for_each_host_and_port():
    several = endpoint(host=lambda s: ["a.example", "b.example"], ports=(443, 8443), section=4)
    rows = plan(SETTINGS, [several]).rows
    assert [(r.host, r.port) for r in rows] == [
        ("a.example", 443), ("a.example", 8443), ("b.example", 443), ("b.example", 8443)
    ]  # fmt: skip


def test_the_main_job_is_in_the_plan():
    rows = {(r.id, r.host, r.port, r.plane) for r in plan(SETTINGS).rows}
    assert rows >= {
        ("cmon.ssh", "group:nodes", 22, Plane.CONTROL),
        ("postgres.patroni", "group:nodes", 8008, Plane.CONTROL),
        ("postgres.etcd", "group:nodes", 2379, Plane.CONTROL),
        ("node.control-plane", "group:control-plane", 443, Plane.DATA),
        ("postgres.peers.replication", "group:peers", 5432, Plane.DATA),
        ("postgres.peers.etcd", "group:peers", 2380, Plane.DATA),
        ("postgres.clients", "group:clients", 5432, Plane.DATA),
        ("rest.public", "group:users", 443, Plane.CONTROL),
        ("rest.user", "localhost", 18091, Plane.INTERNAL),
        ("state.nats", "127.0.0.1", 4222, Plane.INTERNAL),
        ("db.postgresql", "localhost", 5432, Plane.INTERNAL),
    }


def test_an_external_database_and_nats_are_rows_of_their_own_hosts():
    external = SETTINGS.model_copy(
        update={"dsn": "postgresql+psycopg://ccx:hunter2@db.corp:6432/ccx", "nats_url": "nats://nats.corp:4223"}
    )
    found = plan(external)
    assert {(r.host, r.port) for r in found.rows if r.id in ("db.postgresql", "state.nats")} == {
        ("db.corp", 6432), ("nats.corp", 4223)
    }  # fmt: skip
    for fmt in FORMATS:
        assert "hunter2" not in render(found, fmt)


def test_what_is_not_needed_is_not_in_the_plan():
    optional = endpoint(needed=When(lambda s: s.log_level == "debug", "log_level is debug"))
    assert plan(SETTINGS, [optional]).rows == ()
    assert (
        plan(SETTINGS.model_copy(update={"log_level": "debug"}), [optional]).rows[0].condition == "log_level is debug"
    )


def test_a_destination_is_found_by_name_by_group_and_by_what_stands_behind():
    found = plan(SETTINGS, [endpoint(behind=("cdn.example",)), endpoint(id="test.nodes", host=NODES, ports=22)])
    assert [r.id for r in found.find("cdn.example", 443)] == ["test.thing"]
    assert [r.id for r in found.find("10.224.1.9")] == ["test.nodes"]
    assert found.find("10.224.9.9", 22) == ()
    assert found.groups[CONTROL_PLANE] == ("10.224.0.2",)


def test_rows_are_selected_by_plane_and_direction():
    assert {r.plane for r in plan(SETTINGS).select(Plane.DATA, Plane.INSTALL)} <= {Plane.DATA, Plane.INSTALL}
    assert {r.id for r in plan(SETTINGS).select(direction=Direction.INBOUND)} >= {"rest.public", "postgres.clients"}


def test_a_cloud_without_declarations_is_refused_by_field():
    with pytest.raises(Invalid, match="'nonesuch'") as refused:
        plan(SETTINGS.model_copy(update={"clouds": (cloud("local"), cloud("nonesuch"))}))
    assert refused.value.field == "clouds.1.type"
    assert "local" in (refused.value.remedy or "")


def test_json_matches_its_published_schema():
    output = json.loads(render(plan(SETTINGS), "json"))
    jsonschema_rs.validator_for(schema()).validate(output)
    assert output["endpoints"]
    broken = {**output, "endpoints": [{**output["endpoints"][0], "port": 0}]}
    assert not jsonschema_rs.validator_for(schema()).is_valid(broken)


def test_an_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(Invalid, match="yodel") as refused:
        render(plan(SETTINGS), "yodel")
    assert "nftables" in (refused.value.remedy or "")


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["local", "simulated"]), max_size=3),
    st.sampled_from(["", "nats://10.0.0.1", "nats://n.example:9"]),
    st.sampled_from(["", "10.224.1.0/24"]),
)
def test_the_plan_is_a_function_of_the_settings(clouds, nats_url, node_network):
    update = {"clouds": tuple(map(cloud, clouds)), "nats_url": nats_url, "node_network": node_network}
    settings = SETTINGS.model_copy(update=update)
    assert plan(settings) == plan(settings)
    keys = [(r.id, r.host, r.port, r.path) for r in plan(settings).rows]
    assert len(keys) == len(set(keys))
