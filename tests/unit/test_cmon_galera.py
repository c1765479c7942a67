"""What is written to a member of a Galera group, what its parameters come to, and what its keepers' words mean."""

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
from ccx.cmon.engines.mysql_family import tuning as family
from ccx.cmon.engines.mysql_family.galera import config as shared
from ccx.cmon.engines.mysql_family.galera import deciding, tuning
from ccx.cmon.engines.mysql_family.galera.view import to_view
from ccx.cmon.engines.mysql_family.mariadb.galera import config
from ccx.cmon.engines.mysql_family.mariadb.galera.flavour import GALERA
from ccx.cmon.spec import ClusterSpec, Role
from ccx.errors import CcxError, Conflict, Invalid
from ccx.network import Status
from ccx.network.plan import plan
from ccx.runner.steps.network import rules
from ccx.settings import Paths, Settings, TypeOfCluster
from ccx.settings.vendors import MARIADB

SECRETS = ("pw-superuser", "pw-replication", "pw-rewind", "pw-admin", "KEY of")
THREE = ("n1g1", "n2g1", "n3g1")
SETTINGS = Settings(paths=Paths.of("test"))


def spec(*labels: str) -> ClusterSpec:
    return replace(cluster(*labels), vendor="mariadb", version="11.8", cluster_type="galera")


def server(found: ClusterSpec, label: str = "n1g1") -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(config.server_text(found, found.node(label)))
    return parsed


def options(found: ClusterSpec, label: str = "n1g1") -> dict[str, str]:
    text = server(found, label)["mariadbd"]["wsrep_provider_options"].strip('"')
    return dict(option.split("=", 1) for option in text.split(";"))


@given(memory=st.integers(768, 512 * 1024), cpus=st.integers(1, 128))
def test_what_the_parameters_allow_fits_into_the_nodes_memory(memory: int, cpus: int) -> None:
    size = tuning.sizes(memory, cpus)
    assert size.memory() + family.BESIDE <= memory * family.SHARE + 32, "but for the smallest pool there is"
    assert 128 <= size.gcache <= 1024
    assert size.gcache <= max(128, memory / 8)
    assert 2 <= size.appliers <= 32
    more = tuning.sizes(memory * 2, cpus)
    assert (more.server.buffer_pool, more.gcache) >= (size.server.buffer_pool, size.gcache)


def test_group_and_copies_go_by_tls_that_both_sides_verify() -> None:
    found = options(spec(*THREE), "n2g1")
    assert found["socket.ssl"] == "yes"
    assert {found[f"socket.ssl_{what}"].rsplit("/", 1)[1] for what in ("ca", "cert", "key")} == {
        "ca.crt", "node.crt", "node.key",
    }  # fmt: skip
    assert found["gmcast.listen_addr"] == "ssl://192.0.2.2:4567"
    parsed = server(spec(*THREE), "n2g1")
    assert dict(parsed["sst"]) == {"encrypt": "4", "ssl-mode": "VERIFY_CA"}
    assert parsed["mariadbd"]["require_secure_transport"] == "ON"


def test_a_member_starts_read_only_and_all_have_one_server_id_and_a_name_of_their_own() -> None:
    found = [server(spec(*THREE), label)["mariadbd"] for label in THREE]
    assert {one["read_only"] for one in found} == {"ON"}
    assert len({one["server_id"] for one in found}) == 1
    assert {(one["wsrep_gtid_domain_id"], one["gtid_domain_id"]) for one in found} == {("0", "1")}
    assert [one["wsrep_node_name"] for one in found] == list(THREE)
    assert {one["innodb_flush_log_at_trx_commit"] for one in found} == {"1"}


def test_who_begins_after_all_were_lost_is_left_to_our_rule() -> None:
    assert options(spec(*THREE))["pc.recovery"] == "no"
    assert "wsrep_cluster_address" not in server(spec(*THREE))["mariadbd"], "the script that starts it says that"


def test_only_files_that_nobody_else_can_read_hold_secrets() -> None:
    for file in config.node_files(spec(*THREE), "n2g1"):
        if any(secret in file.content for secret in SECRETS):
            assert (file.mode, file.owner) == ("0600", "mysql"), file.path
        assert "pw-" not in file.content, file.path


def test_who_joins_is_told_so_and_every_member_knows_where_all_are() -> None:
    found = spec(*THREE)
    told = [json.loads(shared.keeper_file(GALERA, found, found.nodes[0], joining=j).content) for j in (False, True)]
    assert [t["joining"] for t in told] == [False, True]
    assert told[0]["nodes"] == {"n1g1": "192.0.2.1", "n2g1": "192.0.2.2", "n3g1": "192.0.2.3"}


@pytest.mark.parametrize("vendor", ["mariadb", "percona"])
@pytest.mark.parametrize(
    ("size", "why"), [(0, "even"), (2, "can't tell"), (4, "even"), (6, "even"), (7, "every write")]
)
def test_counts_that_give_nothing_are_refused_with_the_reason(vendor: str, size: int, why: str) -> None:
    engine = get(vendor, SETTINGS, "galera")
    assert ["no high availability" in engine.promise(n) for n in (1, 3, 5)] == [True, False, False]
    with pytest.raises(Invalid, match=why):
        engine.promise(size)


def test_its_ports_are_in_the_contract_where_it_is_on_offer_and_only_there() -> None:
    galera, replicas = (
        MARIADB.model_copy(update={"types": (TypeOfCluster(code=code, name=code),)})
        for code in ("galera", "replication")
    )
    for offered, there in ((galera, True), (replicas, False)):
        rows = plan(SETTINGS.model_copy(update={"databases": (offered,)})).rows
        assert any(row.id == "galera.peers" and row.status is Status.BUILT for row in rows) is there
    peers = {rule.port for rule in rules(SETTINGS, get("mariadb", SETTINGS, "galera"), []) if rule.peer == "self"}
    assert peers == {4444, 4567, 4568, 8008}


def reports(writer: str = "n1g1", **changed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All is well, but for what changed."""
    common = {
        "leader": writer, "term": 3, "running": True, "serves": True, "state": "Synced", "members": list(THREE),
        "paused": 0.0, "note": "serves",
    }  # fmt: skip
    return {label: {**common, "writable": label == writer, **changed.get(label, {})} for label in THREE}


def test_all_is_well_when_one_accepts_writes_and_all_are_in_the_group() -> None:
    view = to_view(spec(*THREE), reports())
    assert view.problems == ()
    assert view.primary is not None
    assert view.primary.label == "n1g1"
    assert [(m.label, m.synchronous) for m in view.replicas] == [("n2g1", True), ("n3g1", True)]


def test_without_a_majority_there_is_no_primary_and_the_reason_has_the_members_evidence() -> None:
    waiting = {"running": False, "serves": False, "leader": None, "writable": False, "note": "n1g1 may have writes"}
    told = reports(n2g1=waiting, n3g1=waiting)
    del told["n1g1"]
    view = to_view(spec(*THREE), told)
    assert view.primary is None
    assert view.unreachable == ("n1g1",)
    assert any("no group of members has a majority" in p and "n1g1 may have writes" in p for p in view.problems)


def test_who_is_cut_off_is_not_believed_about_who_accepts_writes() -> None:
    view = to_view(spec(*THREE), reports("n2g1", n1g1={"serves": False, "leader": "n1g1", "term": 9, "writable": True}))
    assert view.primary is not None
    assert view.primary.label == "n2g1"
    assert any("n1g1 is not in the group" in problem for problem in view.problems)


def test_a_silent_primary_is_one_no_more_but_the_cluster_still_names_it() -> None:
    told = reports()
    del told["n1g1"]
    view = to_view(spec(*THREE), told)
    assert view.primary is None
    assert view.members[0].role is Role.PRIMARY


def test_a_member_whose_data_are_copied_serves_and_is_none_to_copy_again() -> None:
    view = to_view(spec(*THREE), reports(n2g1={"state": "Donor/Desynced"}, n3g1={"state": "Joined"}))
    assert view.problems == ()
    assert [(m.healthy, m.synchronous, m.lag_bytes) for m in view.replicas] == [(True, True, None)] * 2


def test_a_member_that_stops_the_writes_of_all_is_named() -> None:
    assert to_view(spec(*THREE), reports(n3g1={"paused": 0.1})).problems == ()
    (problem,) = to_view(spec(*THREE), reports(n3g1={"paused": 0.5})).problems
    assert "writes wait 50% of the time" in problem


HISTORY, OTHER = "804db302-eb6a-11f1-a7a0-3b09b2ee4fe8", "904db302-eb6a-11f1-a7a0-3b09b2ee4fe8"


def waits(at: int, history: str = HISTORY, view: tuple[str, ...] = THREE) -> dict[str, Any]:
    return {
        "serves": False, "running": False, "note": "no word of n1g1",
        "waiting": {"history": history, "seqno": at, "view": list(view), "view_at": 1, "why": "no word of n1g1"},
    }  # fmt: skip


def decided(label: str, told: dict[str, dict[str, Any]]) -> None:
    deciding.check(deciding.remains(spec(*THREE), told), label)


def test_a_person_may_decide_for_the_node_that_goes_furthest_and_is_told_of_it_else() -> None:
    told = {"n2g1": waits(12), "n3g1": waits(11)}
    decided("n2g1", told)
    with pytest.raises(
        Conflict, match=r"n2g1 has everything that n3g1 has, and more; n1g1 does not answer, n2g1 is at"
    ):
        decided("n3g1", told)


def test_of_two_histories_a_person_may_choose_either() -> None:
    told = {"n1g1": waits(99, OTHER), "n2g1": waits(12), "n3g1": waits(12)}
    for label in THREE:
        decided(label, told)


@given(st.dictionaries(st.sampled_from(THREE), st.tuples(st.sampled_from((HISTORY, OTHER)), st.integers(-1, 3))))
def test_a_decision_gives_up_nothing_of_the_chosen_history_that_is_known_of_and_one_can_be_made(
    known: dict[str, tuple[str, int]],
) -> None:
    told = {label: waits(at, history) for label, (history, at) in known.items()}
    possible = set()
    for label in THREE:
        try:
            decided(label, told)
        except Conflict:
            continue
        possible.add(label)
    furthest = {history: max(at for of, at in known.values() if of == history) for history, _ in known.values()}
    assert possible == {label for label, (history, at) in known.items() if at == furthest[history]}


def test_a_server_that_runs_without_a_group_has_evidence_too() -> None:
    alone = {"serves": False, "running": True, "waiting": None, "history": HISTORY, "committed": 7, "members": []}
    decided("n1g1", {"n1g1": alone})
    with pytest.raises(Conflict, match="n1g1 has everything"):
        decided("n2g1", {"n1g1": alone, "n2g1": waits(6)})


def test_a_group_that_began_by_itself_in_the_same_moment_is_no_decision() -> None:
    serves = {"serves": True, "running": True, "history": HISTORY}
    with pytest.raises(Conflict, match="n1g1 went on without a decision in the same moment, and n2g1 joins") as refused:
        deciding.check_begun({"n1g1": serves, "n2g1": waits(12)}, "n2g1", HISTORY)
    assert refused.value.remedy
    deciding.check_begun({"n1g1": waits(12), "n2g1": {**serves, "history": OTHER}}, "n2g1", HISTORY)
    deciding.check_begun({"n1g1": waits(12), "n2g1": waits(12)}, "n2g1", HISTORY)


@pytest.mark.parametrize(
    ("label", "told", "why"),
    [
        ("n9g1", {"n2g1": waits(12)}, "there is no node 'n9g1'"),
        ("n1g1", {"n2g1": waits(12)}, "n1g1 does not answer"),
        ("n2g1", {"n2g1": waits(-1, "00000000-0000-0000-0000-000000000000")}, "n2g1 has no data that are whole"),
        ("n2g1", {"n1g1": {"serves": True}, "n2g1": waits(12)}, "there is nothing to decide: n1g1 serve"),
    ],
)
def test_what_can_not_be_decided_is_refused_with_the_reason(
    label: str, told: dict[str, dict[str, Any]], why: str
) -> None:
    with pytest.raises(CcxError, match=why):
        decided(label, told)


def test_a_volume_without_room_is_named() -> None:
    (problem,) = to_view(spec(*THREE), reports(n1g1={"room": {"size": 1 << 30, "free": 0}})).problems
    assert "the volume of n1g1 is full" in problem
