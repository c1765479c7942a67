"""What is written to a PostgreSQL node."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cluster_specs import cluster, node

from ccx.cmon.engines.postgres import config, tuning
from ccx.cmon.etcd.files import etcd_environment
from ccx.cmon.etcd.layout import etcd_members

SECRETS = ("pw-superuser", "pw-replication", "pw-rewind", "pw-admin", "KEY of")


def _patroni(*labels: str) -> dict[str, object]:
    spec = cluster(*labels)
    found: dict[str, object] = yaml.safe_load(config.patroni_yaml(spec, spec.nodes[0]))
    return found


@pytest.mark.parametrize(("size", "members"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (7, 5)])
def test_the_number_of_etcd_members_is_odd_and_no_more_than_it_must_be(size: int, members: int) -> None:
    assert len(etcd_members([node(f"n{index}g1") for index in range(1, size + 1)])) == members


@given(st.permutations([f"n{index}g{1 + index % 3}" for index in range(1, 13)]))
def test_which_nodes_carry_etcd_does_not_depend_on_their_order(labels: list[str]) -> None:
    assert [n.label for n in etcd_members([node(label) for label in labels])] == [
        f"n{index}g{1 + index % 3}" for index in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("labels", "synchronous", "strict"),
    [(("n1g1",), False, False), (("n1g1", "n2g1"), True, False), (("n1g1", "n2g1", "n3g1"), "quorum", True)],
)
def test_synchronous_mode_follows_the_size(labels: tuple[str, ...], synchronous: object, strict: bool) -> None:
    shared = config.dynamic(cluster(*labels))
    assert (shared["synchronous_mode"], shared["synchronous_mode_strict"]) == (synchronous, strict)
    assert shared["loop_wait"] + 2 * shared["retry_timeout"] <= shared["ttl"]


def test_only_files_that_nobody_else_can_read_hold_secrets() -> None:
    for file in config.node_files(cluster("n1g1", "n2g1", "n3g1"), "n2g1"):
        if any(secret in file.content for secret in SECRETS):
            assert file.mode == "0600", file.path
            assert file.owner in ("postgres", "etcd"), file.path
    own = [file for file in config.node_files(cluster("n1g1", "n2g1"), "n2g1") if "KEY of n1g1" in file.content]
    assert own == [], "a node has no other node's key"
    assert "pw-" not in repr(config.node_files(cluster("n1g1"), "n1g1"))


def test_every_port_of_patroni_and_etcd_demands_a_client_certificate() -> None:
    patroni = _patroni("n1g1", "n2g1", "n3g1")
    assert patroni["restapi"]["verify_client"] == "required"  # type: ignore[index]
    assert patroni["etcd3"]["protocol"] == "https"  # type: ignore[index]
    spec = cluster("n1g1")
    environment = etcd_environment(spec, spec.nodes[0], {}).content.splitlines()
    assert {"ETCD_CLIENT_CERT_AUTH=true", "ETCD_PEER_CLIENT_CERT_AUTH=true"} <= set(environment)
    urls = [line for line in environment if "_URLS=" in line]
    assert urls
    assert all("=https://" in line for line in urls)


def test_a_node_without_an_etcd_member_gets_none_of_its_files() -> None:
    spec = cluster("n1g1", "n2g1")
    assert any("/etcd/" in file.path for file in config.node_files(spec, "n1g1"))
    assert not any("/etcd/" in file.path for file in config.node_files(spec, "n2g1"))


def test_clients_are_let_in_from_their_sources_over_tls_only() -> None:
    lines = config.access_list([node("n1g1")], ["198.51.100.7/24", "2001:db8::/32"])
    assert lines[-2:] == [
        "hostssl all all 198.51.100.0/24 scram-sha-256",
        "hostssl all all 2001:db8::/32 scram-sha-256",
    ]
    assert not any("trust" in line or line.split()[-1] in ("md5", "password") for line in lines)
    networked = [line for line in lines if not line.startswith("local") and not line.endswith("reject")]
    assert all(line.startswith("hostssl ") for line in networked)


def test_our_own_users_come_from_members_only() -> None:
    lines = config.access_list([node("n1g1"), node("n2g1")], ["0.0.0.0/0"])
    reject = next(index for index, line in enumerate(lines) if line.endswith("0.0.0.0/0 reject"))
    for user in ("postgres", "ccx_replication", "ccx_rewind"):
        assert user in lines[reject]
    admitted = [line for line in lines[reject + 1 :] if not line.endswith("reject")]
    assert admitted == ["hostssl all all 0.0.0.0/0 scram-sha-256"]
    assert "hostssl replication ccx_replication 192.0.2.2/32 scram-sha-256" in lines[:reject]
    assert "hostssl replication ccx_replication 127.0.0.1/32 scram-sha-256" in lines[:reject]


@given(memory=st.integers(min_value=512, max_value=1024 * 1024), cpus=st.integers(min_value=1, max_value=256))
def test_parameters_fit_into_the_node(memory: int, cpus: int) -> None:
    own, shared = tuning.own(memory, cpus), tuning.shared(memory, cpus)
    buffers = int(str(own["shared_buffers"]).removesuffix("MB"))
    work = int(str(own["work_mem"]).removesuffix("kB"))
    assert buffers <= max(32, memory // 4)
    assert 100 <= int(shared["max_connections"]) <= 2000
    assert work >= 1024
    assert buffers < int(str(own["effective_cache_size"]).removesuffix("MB")) <= memory
    assert int(shared["max_worker_processes"]) >= int(own["max_parallel_workers"])


def test_what_must_be_equal_on_all_members_is_shared_and_nothing_is_said_twice() -> None:
    assert not set(tuning.own(1024, 1)) & set(tuning.shared(1024, 1))
    assert {"max_connections", "max_wal_senders", "max_worker_processes"} <= set(tuning.shared(1024, 1))
