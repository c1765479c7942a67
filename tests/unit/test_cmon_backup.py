"""What pgBackRest is told on a node, and what is made of its answers."""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
import yaml
from tests.unit.cluster_specs import cluster

from ccx.cmon.backup import Kind, Origin, Repository, pgbackrest, restoring
from ccx.cmon.engines.postgres.config import patroni_yaml
from ccx.storage import Credentials, Location

SECRETS = ("THE-ACCESS-KEY", "the-secret-key", "the-cipher")


def repository(**location: object) -> Repository:
    where = Location("https://192.0.2.9:8333", "backups", "us-east-1")
    return Repository(
        replace(where, **location), "PEM", "datastores/abc/", Credentials(*SECRETS[:2]), SECRETS[2]
    )  # type: ignore[arg-type]  # fmt: skip


def settings(where: Repository) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read_string(pgbackrest.configuration(cluster("n1g1"), where))
    return parser


def test_each_datastore_has_its_own_place_keys_and_cipher() -> None:
    found = settings(repository())
    assert found.sections() == ["global", "global:archive-push", "abc"]
    common = found["global"]
    assert common["repo1-path"] == "/datastores/abc"
    assert (common["repo1-s3-key"], common["repo1-s3-key-secret"], common["repo1-cipher-pass"]) == SECRETS
    assert common["repo1-cipher-type"] == "aes-256-cbc"
    assert (common["repo1-s3-endpoint"], common["repo1-storage-port"]) == ("192.0.2.9", "8333")
    assert found["abc"]["pg1-path"] == "/var/lib/ccx-data/postgresql/17"


@pytest.mark.parametrize(("cpus", "processes"), [(1, "1"), (2, "2"), (16, "2")])
def test_a_backup_copies_with_no_more_processes_than_there_are_processors(cpus: int, processes: str) -> None:
    parser = ConfigParser(interpolation=None)
    parser.read_string(pgbackrest.configuration(cluster("n1g1", cpus=cpus), repository()))
    assert parser["global"]["process-max"] == processes
    assert parser["global:archive-push"]["process-max"] == "2", "the log does not wait for that"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ({}, {"repo1-s3-uri-style": "path", "repo1-storage-verify-tls": "y"}),
        ({"style": "virtual"}, {"repo1-s3-uri-style": "host"}),
        ({"verify": False}, {"repo1-storage-verify-tls": "n"}),
        ({"endpoint": "https://s3.eu-west-1.amazonaws.com"}, {"repo1-storage-port": "443"}),
    ],
)
def test_the_store_is_reached_as_the_settings_say(location: dict[str, object], expected: dict[str, str]) -> None:
    found = settings(repository(**location))["global"]
    assert {name: found[name] for name in expected} == expected


def test_secrets_are_in_one_file_for_postgresqls_user_alone_and_in_no_command() -> None:
    spec = cluster("n1g1")
    for file in pgbackrest.node_files(spec, repository()):
        if any(secret in file.content for secret in SECRETS):
            assert (file.path, file.mode, file.owner) == (pgbackrest.CONFIGURATION, "0600", "postgres")
    shown = str(pgbackrest.archiving(spec)) + repr(repository()) + repr(spec)
    assert not [secret for secret in SECRETS if secret in shown]


def origin(**how: object) -> Origin:
    return Origin(repository(), "src", "1F_2I", **how)  # type: ignore[arg-type]


def restored(**how: object) -> dict[str, object]:
    config = yaml.safe_load(patroni_yaml(replace(cluster("n1g1"), origin=origin(**how)), cluster("n1g1").nodes[0]))
    assert config["bootstrap"]["method"] == "restore"
    found: dict[str, object] = config["bootstrap"]["restore"]["recovery_conf"]
    return found


def test_a_restore_reads_the_others_repository_and_its_secrets_are_in_one_file() -> None:
    for file in pgbackrest.restore_files(cluster("n1g1"), origin()):
        if any(secret in file.content for secret in SECRETS):
            assert (file.path, file.mode, file.owner) == (str(restoring.CONFIGURED_BY), "0600", "postgres")
            assert "[src]" in file.content
        if file.path == str(restoring.SCRIPT):
            assert "--stanza=src --set=1F_2I" in file.content


@pytest.mark.parametrize(
    ("how", "target"),
    [
        ({}, {}),
        ({"at_once": True}, {"recovery_target": "immediate", "recovery_target_action": "promote"}),
        (
            {"to": datetime(2026, 3, 1, 13, 0, 0, 5000, timezone(timedelta(hours=1)))},
            {"recovery_target_time": "2026-03-01 12:00:00.005000+00", "recovery_target_action": "promote"},
        ),
    ],
)
def test_recovery_goes_as_far_as_it_shall_and_no_further(how: dict[str, object], target: dict[str, str]) -> None:
    found = restored(**how)
    assert {n: v for n, v in found.items() if n not in ("restore_command", "recovery_target_timeline")} == target


def test_a_cluster_without_an_origin_is_made_from_nothing() -> None:
    config = yaml.safe_load(patroni_yaml(cluster("n1g1"), cluster("n1g1").nodes[0]))
    assert "method" not in config["bootstrap"]


def test_the_log_is_archived_every_minute_at_least() -> None:
    parameters = pgbackrest.archiving(cluster("n1g1"))["postgresql"]["parameters"]
    assert parameters["archive_timeout"] == "50s"
    assert parameters["archive_command"] == "/etc/ccx/pgbackrest/archive abc %p"


def test_nothing_expires_by_itself() -> None:
    assert settings(repository())["global"]["expire-auto"] == "n"


@pytest.mark.parametrize(("type_", "kind"), [("full", Kind.FULL), ("incr", Kind.INCREMENTAL)])
def test_an_entry_of_its_list_is_a_backup(type_: str, kind: Kind) -> None:
    found = pgbackrest.backup_of(
        {
            "label": "20260101-000000F", "prior": None, "type": type_, "error": True,
            "timestamp": {"start": 1767225600, "stop": 1767225660},
            "info": {"size": 1000, "repository": {"delta": 10}},
            "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000003"},
        }
    )  # fmt: skip
    assert (found.id, found.parent, found.kind, found.size, found.stored) == ("20260101-000000F", None, kind, 1000, 10)
    assert (found.ended - found.started).total_seconds() == 60
    assert not found.good
    assert found.log == ("000000010000000000000002", "000000010000000000000003")
