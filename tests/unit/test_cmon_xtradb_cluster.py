"""Percona XtraDB Cluster, which never ran here: what a member is told, what it installs, and what is refused."""

from __future__ import annotations

import configparser
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agent.ccx_agent import percona_tenants
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cluster_specs import cluster
from tests.unit.test_cmon_mariadb_backup import REPOSITORY

from ccx.cmon import egress
from ccx.cmon.backup import BacksUp
from ccx.cmon.engines import get
from ccx.cmon.engines.base import Bootstraps, HoldsReads, NamesLeader
from ccx.cmon.engines.mysql_family import config as family
from ccx.cmon.engines.mysql_family import tenants
from ccx.cmon.engines.mysql_family import tuning as shared
from ccx.cmon.engines.mysql_family.galera import config as galera
from ccx.cmon.engines.mysql_family.percona.galera import config, tuning
from ccx.cmon.engines.mysql_family.percona.galera.engine import XtraDbClusterEngine
from ccx.cmon.engines.mysql_family.percona.galera.flavour import XTRADB_CLUSTER
from ccx.cmon.node_channel import NodeChannel
from ccx.cmon.spec import ClusterSpec, ClusterView, NodeSpec
from ccx.errors import Invalid
from ccx.network import Status
from ccx.network.mirror.sources import node_packages, node_sources
from ccx.network.plan import plan
from ccx.rest import offer
from ccx.rest.cluster_orders import _check_software
from ccx.runner.steps import backups, packages
from ccx.settings import Paths, Settings
from ccx.settings.load import parse
from ccx.settings.model import CloudConfig, Mirrors
from ccx.settings.vendors import NAMED, OFFERS

SECRETS = ("pw-superuser", "pw-replication", "pw-rewind", "pw-admin", "KEY of")
THREE = ("n1g1", "n2g1", "n3g1")
VERSIONS = {"8.0": ("pxc-80", "ps-80", "pxb-80"), "8.4": ("pxc-84-lts", "ps-84-lts", "pxb-84-lts")}
STOCK = CloudConfig(code="c", type="aws", name="C", regions=(), instance_types=(), volume_types=(), image="stock")
BOTH = OFFERS["percona"].model_copy(update={"types": (*OFFERS["percona"].types, *NAMED["percona"])})
SETTINGS = Settings(paths=Paths.of("test"), databases=(BOTH,), clouds=(STOCK,))
MIRRORED = SETTINGS.model_copy(update={"mirror": Mirrors(packages="http://apt.corp")})


def spec(*labels: str, version: str = "8.4") -> ClusterSpec:
    return replace(cluster(*labels), vendor="percona", version=version, cluster_type="galera")


def told(found: ClusterSpec, label: str = "n1g1") -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(config.server_text(found, found.node(label)))
    return parsed


def options(found: ClusterSpec, label: str = "n1g1") -> dict[str, str]:
    return dict(
        one.split("=", 1) for one in told(found, label)["mysqld"]["wsrep_provider_options"].strip('"').split(";")
    )


def test_a_member_starts_read_only_for_all_but_its_keeper_and_demands_tls() -> None:
    found = told(spec(*THREE))["mysqld"]
    assert found["read_only"] == "ON"
    assert "super_read_only" not in found, "the keeper could not claim the writes"
    assert found["require_secure_transport"] == "ON"
    assert (found["sync_binlog"], found["innodb_flush_log_at_trx_commit"]) == ("1", "1")
    assert found["mysqlx"] == "OFF", "it would listen on a port that the contract has not"


def test_what_the_group_can_not_replicate_is_refused() -> None:
    found = told(spec(*THREE))["mysqld"]
    assert (found["pxc_strict_mode"], found["innodb_autoinc_lock_mode"]) == ("ENFORCING", "2")
    assert (found["gtid_mode"], found["enforce_gtid_consistency"], found["log_replica_updates"]) == ("ON",) * 3


def test_group_and_copies_go_by_tls_with_the_servers_own_certificates() -> None:
    found = told(spec(*THREE), "n2g1")
    server, transfer = found["mysqld"], found["sst"]
    assert (server["pxc_encrypt_cluster_traffic"], transfer["encrypt"]) == ("ON", "4")
    group = options(spec(*THREE), "n2g1")
    for what in ("ca", "cert", "key"):
        assert transfer[f"ssl-{what}"] == server[f"ssl_{what}"] == group[f"socket.ssl_{what}"]
    assert group["socket.ssl"] == "yes"
    assert (group["gmcast.listen_addr"], group["ist.recv_addr"]) == ("ssl://192.0.2.2:4567", "ssl://192.0.2.2:4568")
    assert server["wsrep_sst_receive_address"] == "192.0.2.2:4444"


def test_a_member_is_told_nothing_in_the_words_of_mariadb_or_of_replicas_or_that_8_4_has_not() -> None:
    found = told(spec(*THREE))["mysqld"]
    assert found["wsrep_provider"] == "/usr/lib/galera4/libgalera_smm.so"
    assert found["wsrep_sst_method"] == "xtrabackup-v2"
    assert "wsrep_applier_threads" in found
    foreign = {
        "wsrep_slave_threads", "wsrep_gtid_mode", "wsrep_gtid_domain_id", "wsrep_sst_auth", "wsrep_mode",
        "binlog_format", "log_slave_updates", "gtid_strict_mode", "query_cache_size", "innodb_log_file_size",
        "default_authentication_plugin", "expire_logs_days", "skip_slave_start",
    }  # fmt: skip
    assert not foreign & set(found)
    assert not [name for name in found if name.startswith(("rpl_", "relay_", "replica", "slave_"))]
    assert "semisync" not in found["plugin_load_add"]
    assert dict(told(spec(*THREE, version="8.0"))["mysqld"]) == dict(found), "one set of words does for both"


def test_members_have_names_and_ids_of_their_own_and_who_begins_is_left_to_our_rule() -> None:
    found = [told(spec(*THREE), label)["mysqld"] for label in THREE]
    assert [one["wsrep_node_name"] for one in found] == list(THREE)
    assert len({one["server_id"] for one in found}) == 3
    assert {one["wsrep_cluster_name"] for one in found} == {"abc"}
    assert "wsrep_cluster_address" not in found[0], "the script that starts it says that"
    assert options(spec(*THREE))["pc.recovery"] == "no"


def test_only_files_that_nobody_else_can_read_hold_secrets() -> None:
    for file in config.node_files(spec(*THREE), "n2g1"):
        if any(secret in file.content for secret in SECRETS):
            assert (file.mode, file.owner) == ("0600", "mysql"), file.path
        assert "pw-" not in file.content, file.path


def test_keepers_are_told_which_server_it_is_and_give_no_copies() -> None:
    files = {file.path: file.content for file in config.node_files(spec(*THREE), "n2g1")}
    keeper = json.loads(files[family.KEEPER_FILE])
    assert (keeper["speech"], keeper["copy"], keeper["joining"]) == ("mysql", [], False)
    assert keeper["server"] == "/usr/sbin/mysqld"
    assert json.loads(galera.keeper_file(XTRADB_CLUSTER, spec(*THREE), spec(*THREE).nodes[1], joining=True).content)[
        "joining"
    ]
    unit = files["/etc/systemd/system/ccx-percona.service"]
    assert "galera_start.py" in unit
    assert "Percona XtraDB Cluster" in unit
    assert not any("etcd" in path for path in files), "its members are their own consensus"


@given(memory=st.integers(1024, 512 * 1024), cpus=st.integers(1, 128))
def test_what_the_parameters_allow_fits_into_the_nodes_memory(memory: int, cpus: int) -> None:
    size = tuning.sizes(memory, cpus)
    assert tuning.memory(size) + shared.BESIDE <= memory * shared.SHARE + 32, "but for the smallest pool there is"
    assert 128 <= size.gcache <= 1024
    assert 2 <= size.appliers <= 32


def repositories(settings: Settings, version: str, topology: str) -> set[str]:
    sources = node_sources(settings, "percona", version, topology)
    return {source.name.removeprefix("packages.") for source in sources if ".key-" not in source.name}


@pytest.mark.parametrize("settings", [SETTINGS, MIRRORED], ids=["vendor", "mirror"])
@pytest.mark.parametrize("version", VERSIONS)
def test_no_node_is_told_of_the_repositories_of_both_servers_though_both_are_on_offer(
    settings: Settings, version: str
) -> None:
    """Their common packages conflict: what installs one would take the other away."""
    cluster_, server, copies = VERSIONS[version]
    told_of = {topology: repositories(settings, version, topology) for topology in ("galera", "replication")}
    assert {name for name in told_of["galera"] if name.startswith("p")} >= {cluster_, copies, "percona-telemetry"}
    for topology, never in (("galera", "ps-"), ("replication", "pxc-")):
        assert not [name for name in told_of[topology] if name.startswith(never)]
    installed = {topology: set(node_packages("percona", version, topology)) for topology in told_of}
    assert {"percona-xtradb-cluster-server", f"percona-xtrabackup-{version.replace('.', '')}"} <= installed["galera"]
    assert not {"percona-server-server", "etcd-server"} & installed["galera"]
    assert "percona-xtradb-cluster-server" not in installed["replication"]
    assert server in told_of["replication"]


@pytest.mark.parametrize(("topology", "server"), [("galera", "xtradb-cluster"), ("replication", "server")])
def test_a_datastores_nodes_install_the_server_of_its_own_topology(topology: str, server: str) -> None:
    datastore = SimpleNamespace(vendor="percona", version="8.4", cluster_type=topology)
    of_it: Any = SimpleNamespace(engine=get("percona", SETTINGS, topology), datastore=datastore)
    asked = packages.request(SETTINGS, of_it)
    assert [name for name in asked["packages"] if name.endswith("-server") and name.startswith("percona")] == [
        f"percona-{server}-server"
    ]
    rows = {source["name"] for source in asked["sources"]}
    assert ("packages.pxc-84-lts" in rows, "packages.ps-84-lts" in rows) == (topology == "galera", topology != "galera")


def test_nothing_of_its_packages_starts_by_itself_or_is_confined_to_debians_folders() -> None:
    software = get("percona", SETTINGS, "galera").software
    assert {"mysql", "percona-telemetry-agent"} <= set(software.off)
    assert {Path(path).name for path, _ in software.files} == {"usr.sbin.mysqld", "usr.bin.wsrep_sst_xtrabackup-v2"}
    assert {str(Path(path).parent) for path, _ in software.files} == {"/etc/apparmor.d/disable"}


def rows(settings: Settings) -> dict[str, Status]:
    return {row.id: row.status for row in plan(settings).rows if row.id.startswith(("pxc.", "packages.pxc-"))}


def test_its_rows_are_in_the_contract_where_settings_name_it_and_only_there() -> None:
    assert rows(SETTINGS.model_copy(update={"databases": (OFFERS["percona"],)})) == {}, "percona alone is replication"
    assert rows(SETTINGS) == dict.fromkeys(
        ("pxc.peers.group", "pxc.peers.keeper", "packages.pxc-80", "packages.pxc-84-lts"), Status.BUILT
    )
    newer = BOTH.model_copy(update={"versions": ("8.4",)})
    assert "packages.pxc-80" not in rows(SETTINGS.model_copy(update={"databases": (newer,)}))


def test_a_members_own_firewall_lets_it_reach_its_group_and_no_etcd() -> None:
    found = {
        topology: egress.rules(SETTINGS, "percona", "8.4", ["192.0.2.9"], topology)
        for topology in ("galera", "replication")
    }
    assert [port for port in ("4444", "4567", "4568", "8008") if port not in found["galera"]] == []
    assert "2380" not in found["galera"]
    assert "4567" not in found["replication"]


def test_it_does_what_galera_does_and_makes_no_backups() -> None:
    engine = get("percona", SETTINGS, "galera")
    for duty in (Bootstraps, HoldsReads, NamesLeader):
        assert isinstance(engine, duty), duty
    assert not isinstance(engine, BacksUp)
    assert "nothing is left: it has no backups" in engine.promise(1)
    datastore: Any = SimpleNamespace(engine=engine, datastore=SimpleNamespace(vendor="percona", cluster_type="galera"))
    with pytest.raises(Invalid, match="percona with galera can't be backed up") as refused:
        backups.engine_of(datastore)
    assert refused.value.remedy
    stored = replace(spec(*THREE), backup=REPOSITORY)
    assert not [file.path for file in _files(stored) if "backup" in file.path], "an object store changes nothing"


def _files(found: ClusterSpec) -> Iterable[Any]:
    return XtraDbClusterEngine(SETTINGS)._files(found, "n1g1")


class Told:
    """The way to the nodes: notes what they are told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    async def call(self, node: NodeSpec, verb: str, args: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.calls.append((node.label, verb, args))
        return {}


async def test_what_readers_wait_for_is_told_the_server_by_the_socket_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, channel = XtraDbClusterEngine(SETTINGS), Told()

    async def reports(*_: Any, **__: Any) -> dict[str, dict[str, Any]]:
        said = {"leader": "n2g1", "term": 3, "running": True, "serves": True, "state": "Synced", "members": list(THREE)}
        return {label: {**said, "writable": label == "n2g1"} for label in THREE}

    monkeypatch.setattr(engine, "_reports", reports)
    view: ClusterView = await engine.observe(spec(*THREE))
    assert view.primary is not None
    assert view.primary.label == "n2g1"
    way: NodeChannel = channel  # type: ignore[assignment]
    await engine.set_reads(way, spec(*THREE), True, 7)
    assert channel.calls == [("n2g1", "galera-reads", {"current": True, "speech": "mysql"})]
    await engine.close()


@pytest.mark.parametrize("of_another_vendor", ["17", "11.8", "5.7", "9.7"])
def test_a_version_of_another_vendor_is_refused_and_those_on_offer_are_named(of_another_vendor: str) -> None:
    with pytest.raises(Invalid) as refused:
        offer.version(BOTH, of_another_vendor)
    assert (refused.value.field, refused.value.remedy) == ("general.db_version", "There is: 8.0, 8.4")


@pytest.mark.parametrize("version", ["8.0", "8.4", "9.7"])
def test_it_is_refused_where_nodes_start_from_an_image_as_none_holds_it(version: str) -> None:
    engine = get("percona", SETTINGS, "galera")
    baked = STOCK.model_copy(update={"type": "local", "image": "baked"})
    with pytest.raises(Invalid, match="no image that is made here holds") as refused:
        _check_software(engine, BOTH, version, baked)
    assert "clouds.c.image=stock" in str(refused.value.remedy)
    if version in BOTH.versions:
        _check_software(engine, BOTH, version, STOCK)
    else:
        with pytest.raises(Invalid, match="no repository that nodes install from"):
            _check_software(engine, BOTH, version, STOCK)


RESERVED = ("mysql.session", "mysql.infoschema", "mysql.sys", "mysql.pxc.internal.session", "mysql.pxc.sst.user",
            "MySQL.PXC.sst.role", "ccx_anything")  # fmt: skip


@pytest.mark.parametrize("name", RESERVED)
def test_the_servers_own_users_are_nobody_elses_and_shown_to_nobody(name: str) -> None:
    with pytest.raises(Invalid, match="is reserved"):
        tenants.check_user(name, XtraDbClusterEngine.longest_user)
    if name.islower() and not name.startswith("ccx_"):
        assert name in percona_tenants._OURS


@pytest.mark.parametrize("name", ["mysql", "sys", "PERCONA_SCHEMA", "performance_schema"])
def test_the_servers_own_databases_are_nobody_elses(name: str) -> None:
    with pytest.raises(Invalid, match="is reserved"):
        tenants.check_database(name)


DOCUMENTATION = Path(__file__).parents[2] / "docs" / "operate"


def named_in_vendors() -> str:
    lines = (DOCUMENTATION / "vendors.md").read_text().splitlines()
    (named,) = (line for line in lines if "only where settings name the topology" in line)
    return named.split("`")[1]


def named_in_percona() -> str:
    return (DOCUMENTATION / "percona.md").read_text().partition("```yaml\n")[2].partition("```")[0]


@pytest.mark.parametrize(
    ("text", "promised"),
    [
        (named_in_vendors(), {"galera": [1, 3, 5]}),
        (named_in_percona(), {"replication": [1, 2, 3], "galera": [1, 3, 5]}),
    ],
    ids=["vendors.md", "percona.md"],
)
def test_settings_put_it_on_offer_by_naming_it_as_the_documentation_does(
    text: str, promised: dict[str, list[int]]
) -> None:
    found = parse(f"{text}\n", Path("ccx.yaml"), "test", {}).database("percona")
    assert found is not None
    made = {kind.code: sorted(offer.promises(found, get("percona", SETTINGS, kind.code))) for kind in found.types}
    assert made == promised
    assert found.versions == ("8.0", "8.4")
