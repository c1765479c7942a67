"""What is written to a MariaDB node, what its parameters come to, and what keepers' words mean."""

from __future__ import annotations

import configparser
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cluster_specs import cluster

from ccx.cmon.engines import get
from ccx.cmon.engines.mysql_family import config, tenants, tuning
from ccx.cmon.engines.mysql_family.layout import server_id
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB
from ccx.cmon.engines.mysql_family.passwords import native_hash
from ccx.cmon.engines.mysql_family.view import LAG_BOUND, leader_of, to_view
from ccx.cmon.spec import ClusterSpec, ClusterView, Role
from ccx.errors import Invalid
from ccx.settings import Paths, Settings

SECRETS = ("pw-superuser", "pw-replication", "pw-rewind", "pw-admin", "KEY of")
THREE = ("n1g1", "n2g1", "n3g1")


def spec(*labels: str, version: str = "11.8") -> ClusterSpec:
    return replace(cluster(*labels), vendor="mariadb", version=version, cluster_type="replication")


def server(found: ClusterSpec, label: str = "n1g1") -> configparser.SectionProxy:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(config.server_text(MARIADB, found, found.node(label)))
    return parsed["mariadbd"]


@given(memory=st.integers(512, 512 * 1024), cpus=st.integers(1, 128))
def test_what_the_parameters_allow_fits_into_the_nodes_memory(memory: int, cpus: int) -> None:
    size = tuning.sizes(memory, cpus)
    assert size.memory() + tuning.BESIDE <= memory * tuning.SHARE + 32, "but for the smallest pool there is"
    assert size.buffer_pool >= 32
    assert size.connections >= 60
    more = tuning.sizes(memory * 2, cpus)
    assert (more.buffer_pool, more.connections) >= (size.buffer_pool, size.connections)


@pytest.mark.parametrize(("memory", "at_least"), [(1024, 0.4), (4096, 0.55), (65536, 0.55)])
def test_most_of_the_memory_is_cache(memory: int, at_least: float) -> None:
    assert tuning.sizes(memory, 2).buffer_pool >= memory * at_least


def test_only_files_that_nobody_else_can_read_hold_secrets() -> None:
    for file in config.node_files(MARIADB, spec(*THREE), "n2g1"):
        if any(secret in file.content for secret in SECRETS):
            assert file.mode == "0600", file.path
            assert file.owner in ("mysql", "etcd"), file.path
        assert "pw-admin" not in file.content
        assert "pw-superuser" not in file.content
    assert "pw-" not in repr(config.node_files(MARIADB, spec("n1g1"), "n1g1"))


def test_a_server_starts_read_only_follows_nobody_and_demands_tls() -> None:
    found = server(spec(*THREE))
    wanted = {"read_only", "skip_slave_start", "require_secure_transport", "gtid_strict_mode", "skip_name_resolve"}
    assert {found[setting] for setting in wanted} == {"ON"}
    assert (found["sync_binlog"], found["innodb_flush_log_at_trx_commit"]) == ("1", "1")
    assert found["rpl_semi_sync_master_wait_point"] == "AFTER_SYNC"
    assert "rpl_semi_sync_master_enabled" not in found, "that is the keeper's to say, when it promotes"


def test_from_three_nodes_on_a_write_waits_for_a_copy_as_long_as_it_takes() -> None:
    ten_years = 10 * 365 * 24 * 3600 * 1000
    assert int(server(spec(*THREE))["rpl_semi_sync_master_timeout"]) > ten_years
    assert int(server(spec(*THREE[:2]))["rpl_semi_sync_master_timeout"]) == 10_000


def test_older_versions_are_not_told_what_they_do_not_know() -> None:
    assert "max_binlog_total_size" in server(spec(*THREE, version="11.4"))
    assert "max_binlog_total_size" not in server(spec(*THREE, version="10.11"))


def test_server_ids_are_never_used_twice() -> None:
    labels = [f"n{index}g{generation}" for index in range(1, 10) for generation in range(1, 40)]
    assert len({server_id(node) for node in spec(*labels).nodes}) == len(labels)


def test_a_node_that_joins_is_told_so_and_another_is_not() -> None:
    found = spec(*THREE)
    told = [json.loads(config.keeper_file(MARIADB, found, found.nodes[0], joining=j).content) for j in (False, True)]
    assert [t["joining"] for t in told] == [False, True]


def test_the_engine_promises_for_one_to_three_nodes_and_refuses_others() -> None:
    engine = get("mariadb", Settings(paths=Paths.of("test")))
    assert "no automatic failover" in engine.promise(2)
    for size in (0, 4, 5):
        with pytest.raises(Invalid, match="never for two"):
            engine.promise(size)


def test_a_password_is_hashed_as_the_server_does_it() -> None:
    assert native_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"  # PASSWORD('password')


@pytest.mark.parametrize("user", ["root", "Mysql", "mariadb.sys", "ccx_x", "PUBLIC", "", "x" * 81, "a\n", "😀"])
def test_reserved_and_impossible_users_are_refused(user: str) -> None:
    with pytest.raises(Invalid):
        tenants.check_user(user, 80)


@pytest.mark.parametrize("database", ["mysql", "SYS", "information_schema", "", "x" * 65, "a\0", "lost+found"])
def test_reserved_and_impossible_databases_are_refused(database: str) -> None:
    with pytest.raises(Invalid):
        tenants.check_database(database)


def reports(leader: str = "n1g1", **changed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All is well, but for what changed."""
    common = {"leader": leader, "term": 3, "running": True, "file": "binlog.000002", "position": 5000}
    replica = {"writable": False, "connected": True, "applying": True, "synchronous": True, "note": "follows"}
    return {
        label: {**common, **(replica if label != leader else {"writable": True}), **changed.get(label, {})}
        for label in THREE
    }


def test_a_replica_that_has_applied_all_is_not_behind_though_it_has_heard_of_no_new_file() -> None:
    """A primary's file is ended when nobody writes, too; MySQL's replicas take note of that with the next write."""
    ended = {"file": "binlog.000003", "position": 200, "applied": 57}
    found = {"n1g1": ended, "n2g1": {"applied": 57}, "n3g1": {"applied": 56}}
    view = to_view(spec(*THREE), reports(**found))
    assert [(m.label, m.lag_bytes) for m in view.replicas] == [("n2g1", 0), ("n3g1", None)]


def test_all_is_well_when_one_accepts_writes_and_the_others_follow_synchronously() -> None:
    view = to_view(spec(*THREE), reports())
    assert view.problems == ()
    assert view.primary is not None
    assert view.primary.label == "n1g1"
    assert [(m.label, m.synchronous, m.lag_bytes) for m in view.replicas] == [("n2g1", True, 0), ("n3g1", True, 0)]


def test_a_silent_primary_is_one_no_more_but_the_cluster_still_names_it() -> None:
    told = reports()
    del told["n1g1"]
    view = to_view(spec(*THREE), told)
    assert view.primary is None
    assert view.members[0].role is Role.PRIMARY
    assert view.unreachable == ("n1g1",)


def test_why_there_is_no_primary_is_said_in_the_keepers_words() -> None:
    told = reports()
    for label in THREE:
        told[label] |= {"leader": None, "writable": False, "note": "n3g1 may have acknowledged writes"}
    view = to_view(spec(*THREE), told)
    assert view.primary is None
    assert any("there is no primary" in p and "n3g1 may have" in p for p in view.problems)


def test_the_newest_term_is_believed() -> None:
    told = reports("n2g1")
    told["n1g1"] |= {"leader": "n1g1", "term": 2, "writable": True}
    assert leader_of(told) == "n2g1"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"connected": False, "err": "error connecting"}, "error connecting"),
        ({"running": False, "connected": False, "copied": 5}, "being copied"),
        ({"position": 0, "file": "binlog.000002"}, None),
    ],
)
def test_what_is_amiss_with_a_replica_is_named(changed: dict[str, Any], said: str | None) -> None:
    found = to_view(spec(*THREE), reports(n2g1=changed)).problems
    assert (said is None) == (found == ())
    assert said is None or any("n2g1" in p and said in p for p in found)


def test_a_replica_that_is_far_behind_is_named() -> None:
    far = to_view(spec(*THREE), reports(n1g1={"position": 5000 + LAG_BOUND + 1}, n3g1={"position": 5000 + LAG_BOUND}))
    assert any("n2g1 is 32 MiB behind" in p for p in far.problems)
    assert not any("n3g1" in p for p in far.problems)


def test_without_a_synchronous_copy_it_is_said() -> None:
    view = to_view(spec(*THREE), reports(n2g1={"synchronous": False}, n3g1={"synchronous": False}))
    assert any("no synchronous copy" in p for p in view.problems)


def test_a_volume_without_room_is_named_with_figures() -> None:
    told = reports(
        n1g1={"room": {"size": 1000 << 20, "free": 20 << 20}}, n2g1={"room": {"size": 1000 << 20, "free": 0}}
    )
    assert to_view(spec(*THREE), told).problems == (
        "the volume of n2g1 is full: 0 of 1000 MiB are left, and writes wait or fail",
    )


def test_what_a_node_has_kept_apart_is_shown_of_it_and_outlives_being_stored() -> None:
    view = to_view(spec(*THREE), reports(n2g1={"errant": ["20261129T010000.sql"]}))
    stored = ClusterView.from_json(json.loads(json.dumps(view.to_json())))
    assert stored == view
    assert {member.label: member.errant for member in stored.members} == {
        "n1g1": (), "n2g1": ("20261129T010000.sql",), "n3g1": (),
    }  # fmt: skip
