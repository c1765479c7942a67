"""What is written to a node of Percona Server, and what its engine says."""

from __future__ import annotations

import configparser
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cluster_specs import cluster
from tests.unit.test_cmon_mariadb_backup import REPOSITORY

from ccx.cmon.backup import BacksUp, HandsOver, NumbersTransactions, Proves, TellsPosition, mariadb_backup
from ccx.cmon.engines import get
from ccx.cmon.engines.base import BakesSome
from ccx.cmon.engines.mysql_family import config as family
from ccx.cmon.engines.mysql_family import tuning as shared
from ccx.cmon.engines.mysql_family.passwords import caching_sha2_verifier, sha256_crypt
from ccx.cmon.engines.mysql_family.percona import config, tuning
from ccx.cmon.engines.mysql_family.percona.flavour import PERCONA
from ccx.cmon.spec import ClusterSpec
from ccx.errors import Invalid
from ccx.network.mirror.sources import node_packages, node_sources
from ccx.rest.cluster_orders import _check_software
from ccx.settings import Paths, Settings
from ccx.settings.model import CloudConfig
from ccx.settings.vendors import OFFERS

SECRETS = ("pw-superuser", "pw-replication", "pw-rewind", "pw-admin", "KEY of")
THREE = ("n1g1", "n2g1", "n3g1")
STOCK = CloudConfig(code="c", type="aws", name="C", regions=(), instance_types=(), volume_types=(), image="stock")
SETTINGS = Settings(paths=Paths.of("test"), databases=(OFFERS["percona"],), clouds=(STOCK,))


def spec(*labels: str, version: str = "8.4") -> ClusterSpec:
    return replace(cluster(*labels), vendor="percona", version=version, cluster_type="replication")


def server(found: ClusterSpec, label: str = "n1g1") -> configparser.SectionProxy:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(config.server_text(found, found.node(label)))
    return parsed["mysqld"]


def test_a_server_starts_read_only_for_everybody_follows_nobody_and_demands_tls() -> None:
    found = server(spec(*THREE))
    wanted = {"super_read_only", "skip_replica_start", "require_secure_transport", "gtid_mode", "log_replica_updates"}
    assert {found[setting] for setting in wanted} == {"ON"}
    assert (found["sync_binlog"], found["innodb_flush_log_at_trx_commit"]) == ("1", "1")
    assert found["rpl_semi_sync_source_wait_point"] == "AFTER_SYNC"
    assert "rpl_semi_sync_source_enabled" not in found, "that is the keeper's to say, when it promotes"
    assert found["mysqlx"] == "OFF", "it would listen on a port that the contract has not"


def test_percona_is_told_that_nobody_asked_for_its_telemetry() -> None:
    assert server(spec("n1g1"))["loose_percona_telemetry_disable"] == "ON"
    assert "percona-telemetry-agent" in get("percona", SETTINGS).software.off


def test_the_packages_profile_of_debians_folders_does_not_confine_the_server() -> None:
    assert [path for path, _ in get("percona", SETTINGS).software.files] == ["/etc/apparmor.d/disable/usr.sbin.mysqld"]


def test_from_three_nodes_on_a_write_waits_for_a_copy_as_long_as_the_server_can() -> None:
    assert int(server(spec(*THREE))["rpl_semi_sync_source_timeout"]) == 2**32 - 1
    assert int(server(spec(*THREE[:2]))["rpl_semi_sync_source_timeout"]) == 10_000


def test_only_files_that_nobody_else_can_read_hold_secrets() -> None:
    for file in config.node_files(spec(*THREE), "n2g1"):
        if any(secret in file.content for secret in SECRETS):
            assert file.mode == "0600", file.path
            assert file.owner in ("mysql", "etcd"), file.path
        assert "pw-admin" not in file.content
        assert "pw-superuser" not in file.content


def test_the_keeper_is_told_that_the_server_gives_copies_itself() -> None:
    files = {file.path: file for file in config.node_files(spec(*THREE), "n2g1")}
    told = json.loads(files[family.KEEPER_FILE].content)
    assert told["copy"] == []
    assert (told["server"], told["server_file"]) == ("/usr/sbin/mysqld", family.SERVER_FILE)


@given(memory=st.integers(1024, 512 * 1024), cpus=st.integers(1, 128))
def test_what_the_parameters_allow_fits_into_the_nodes_memory(memory: int, cpus: int) -> None:
    assert tuning.memory(tuning.sizes(memory, cpus)) + shared.BESIDE <= memory * shared.SHARE + 32


@pytest.mark.parametrize(("version", "repository"), [("8.0", "ps-80"), ("8.4", "ps-84-lts")])
def test_nodes_install_the_series_that_they_are_of_and_never_its_cluster(version: str, repository: str) -> None:
    packages = node_packages("percona", version, "replication")
    assert {"percona-server-server", "percona-telemetry-agent", "etcd-server", "rclone", "zstd"} <= set(packages)
    assert [name for name in packages if "xtrabackup" in name] == [f"percona-xtrabackup-{version.replace('.', '')}"]
    assert "percona-xtradb-cluster-server" not in packages
    alone = SETTINGS.model_copy(update={"databases": (OFFERS["percona"].model_copy(update={"versions": (version,)}),)})
    paths = [source.uri for source in node_sources(alone, "percona", version, "replication") if "percona" in source.uri]
    wanted = ("telemetry", repository, repository.replace("ps-", "pxb-"))
    assert sorted(paths) == sorted(f"http://repo.percona.com/{name}/apt" for name in wanted)


def test_it_backs_up_and_does_all_that_backups_are_for_but_number_its_transactions() -> None:
    engine = get("percona", SETTINGS)
    for duty in (BacksUp, Proves, HandsOver, TellsPosition):
        assert isinstance(engine, duty), duty
    assert not isinstance(engine, NumbersTransactions), "each server counts its own"


def test_the_programs_of_backups_are_told_whose_log_they_read_and_which_program_serves() -> None:
    files = mariadb_backup.node_files(PERCONA, spec("n1g1"), "n1g1", REPOSITORY)
    told = json.loads(next(file.content for file in files if file.path.endswith("backup.json")))
    assert (told["speech"], told["program"]) == ("mysql", "/usr/sbin/mysqld")
    assert told["socket"] == "/run/ccx-percona/mysqld.sock"
    unit = next(file.content for file in files if file.path.endswith(".service"))
    assert "After=network.target ccx-percona.service" in unit


def test_a_version_that_no_repository_has_is_refused_where_nodes_install_it() -> None:
    stand_in = OFFERS["percona"].model_copy(update={"versions": ("8.4", "9.7")})
    _check_software(get("percona", SETTINGS), stand_in, "8.4", STOCK)
    with pytest.raises(Invalid, match=r"no repository that nodes install from has Percona Server 9\.7"):
        _check_software(get("percona", SETTINGS), stand_in, "9.7", STOCK)


def test_the_image_that_stands_in_is_of_no_version_on_offer() -> None:
    engine = get("percona", SETTINGS)
    assert isinstance(engine, BakesSome)
    assert not set(engine.baked) & set(OFFERS["percona"].versions)


def test_the_engine_promises_for_one_to_three_nodes_and_refuses_others() -> None:
    engine = get("percona", SETTINGS)
    assert "no automatic failover" in engine.promise(2)
    assert "a backup is what is left" in engine.promise(1)
    for size in (0, 4, 5):
        with pytest.raises(Invalid, match="never for two"):
            engine.promise(size)


def test_a_password_becomes_what_the_server_itself_would_make_of_it() -> None:
    """Checked against crypt(3), whose salts are shorter, and against a server, end to end."""
    assert sha256_crypt(b"Hello world!", b"saltstring", 5000) == "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
    verifier = caching_sha2_verifier("secret")
    _, kind, rounds, rest = verifier.split("$", 3)
    assert (kind, rounds, len(rest)) == ("A", "005", 63)
    assert verifier == caching_sha2_verifier("secret", rest[:20]) != caching_sha2_verifier("secret")
    assert hashlib.sha256(b"secret").hexdigest() not in verifier
