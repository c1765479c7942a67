"""What MariaDB's backups put on a node, on which node they are made, and what manifests and findings mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cluster_specs import cluster

from ccx.cmon.backup import Backup, Kind, Origin, Repository, mariadb_backup
from ccx.cmon.backup.rclone import configuration, obscured
from ccx.cmon.engines.mysql_family import config
from ccx.cmon.engines.mysql_family.backing_up import choose
from ccx.cmon.engines.mysql_family.layout import Flavour
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB
from ccx.cmon.engines.mysql_family.mariadb.galera import config as galera
from ccx.cmon.engines.mysql_family.mariadb.galera.flavour import GALERA
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSpec, ClusterView, MemberView, Role
from ccx.storage import Credentials, Location

REPOSITORY = Repository(
    Location("https://s3.example.net:8333", "backups", "us-east-1", ca=Path("ca.crt")), "the store's CA",
    "datastores/abc/", Credentials("ACCESS", "secret-of-the-store"), "cipher-of-abc",
)  # fmt: skip
SECRETS = ("secret-of-the-store", obscured("cipher-of-abc"))
MANIFEST = {
    "id": "20261128T040000Z-full", "parent": None, "kind": "full", "started": 1795838400.7, "ended": 1795838460.2,
    "size": 10_000, "stored": 2_000, "gtid": "0-10001-57", "node": "n2g1",
}  # fmt: skip


def spec(*labels: str) -> ClusterSpec:
    return replace(cluster(*labels), vendor="mariadb", version="11.8", cluster_type="replication", backup=REPOSITORY)


def test_keys_are_in_a_file_that_only_the_servers_user_reads_and_nowhere_else() -> None:
    files = mariadb_backup.node_files(MARIADB, spec("n1g1", "n2g1"), "n1g1", REPOSITORY)
    for file in files:
        secret = any(word in file.content for word in SECRETS)
        assert secret == (file.path == "/etc/ccx/mariadb-backup/rclone.conf")
        if secret:
            assert (file.mode, file.owner) == ("0600", "mysql")


def test_the_cipher_is_hidden_the_same_way_each_time_so_that_nothing_changes_without_a_reason() -> None:
    assert configuration(REPOSITORY) == configuration(REPOSITORY)
    assert "cipher-of-abc" not in configuration(REPOSITORY)
    assert obscured("one") != obscured("another")


def test_the_log_is_sent_by_the_name_that_the_store_has_for_this_branch() -> None:
    branch = replace(spec("n1g1"), branch=2, archive_name="abc-2")
    files = {f.path: f.content for f in mariadb_backup.node_files(MARIADB, branch, "n1g1", REPOSITORY)}
    told = json.loads(files["/etc/ccx/mariadb-backup/backup.json"])
    assert (told["archive"], told["label"], told["keeper"]["address"]) == ("abc-2", "n1g1", "192.0.2.1")


@pytest.mark.parametrize("node_files", [partial(config.node_files, MARIADB), galera.node_files])
def test_a_server_whose_log_is_sent_removes_none_of_it_when_it_starts(
    node_files: Callable[[ClusterSpec, str], list[NodeFile]],
) -> None:
    """Its limits would be for what is not stored yet as for what is."""
    cluster = spec("n1g1")
    (server,) = [file for file in node_files(cluster, "n1g1") if file.path == config.SERVER_FILE]
    (told,) = [
        file for file in mariadb_backup.node_files(MARIADB, cluster, "n1g1", REPOSITORY)
        if server.content.endswith(f"\n!include {file.path}\n")
    ]  # fmt: skip
    assert told.content.splitlines() == [
        "[mariadbd]", "binlog_expire_logs_seconds = 0", "loose_max_binlog_total_size = 0",
    ]  # fmt: skip


def test_the_first_node_is_made_from_the_backup_and_the_others_from_it() -> None:
    made = spec("n1g1", "n2g1", "n3g1")
    at = datetime(2026, 11, 28, 4, 30, tzinfo=UTC)
    origin = Origin(REPOSITORY, "xyz", "20261128T040000Z-full", to=at, path=((0, "xyz"), (3, "xyz-1")))
    told = {}
    for node in made.nodes:
        files = mariadb_backup.restore_files(MARIADB, made, node, origin)
        told[node.label] = json.loads(files[0].content)
        assert any(SECRETS[0] in file.content for file in files) == (node.label == "n1g1")
    assert [told[label]["first"] for label in sorted(told)] == [True, False, False]
    first = told["n1g1"]
    assert (first["logs"], first["backup"], first["to"]) == (["xyz", "xyz-1"], origin.backup, at.timestamp())
    kept = {file.path for file in mariadb_backup.restore_files(MARIADB, made, made.nodes[0], origin)}
    assert {file.path for file in mariadb_backup.forgotten()} <= kept


@pytest.mark.parametrize(("point", "at_once"), [("", True), ("0-10002-2310", False)])
def test_a_drill_goes_on_from_the_backup_to_where_rows_were_counted(point: str, at_once: bool) -> None:
    made = spec("n1g1")
    origin = Origin(REPOSITORY, "xyz", "20261128T040000Z-full", at_once=True, point=point)
    told = json.loads(mariadb_backup.restore_files(MARIADB, made, made.nodes[0], origin)[0].content)
    assert (told["at_once"], told["through"]) == (at_once, point)


def test_a_manifest_says_what_the_backup_is() -> None:
    found = mariadb_backup.backup_of(MANIFEST)
    assert (found.id, found.kind, found.lsn, found.node) == (MANIFEST["id"], Kind.FULL, "0-10001-57", "n2g1")
    assert found.ended == datetime.fromtimestamp(1795838460, UTC)
    assert found.good
    assert not mariadb_backup.backup_of(MANIFEST | {"damaged": "it can't be decrypted"}).good


def test_where_the_log_breaks_off_is_known_by_backup() -> None:
    found = mariadb_backup.findings(
        {"checked": ["a", "b"], "damaged": {"a": "a/data is missing"}, "log": {}, "until": {"b": 1795838460}}
    )
    assert found.until == {"b": datetime.fromtimestamp(1795838460, UTC)}


def _view(*members: MemberView) -> ClusterView:
    return ClusterView(members, members[0].label)


def _member(label: str, role: Role, lag: int | None = None, *, healthy: bool = True) -> MemberView:
    return MemberView(label, role, "", "192.0.2.9", healthy=healthy, lag_bytes=lag)


def _backup(node: str) -> Backup:
    return replace(mariadb_backup.backup_of(MANIFEST), node=node)


@pytest.mark.parametrize(
    ("kind", "newest", "wanted"),
    [
        (Kind.FULL, None, "n3g1"),
        (Kind.FULL, "n2g1", "n3g1"),
        (Kind.INCREMENTAL, "n2g1", "n2g1"),
        (Kind.INCREMENTAL, "n1g1", "n1g1"),
        (Kind.INCREMENTAL, "n9g1", "n3g1"),
    ],
)
def test_a_full_backup_is_made_on_the_best_replica_and_an_incremental_one_where_the_last_was(
    kind: Kind, newest: str | None, wanted: str
) -> None:
    view = _view(
        _member("n1g1", Role.PRIMARY), _member("n2g1", Role.REPLICA, 5000), _member("n3g1", Role.REPLICA, 10)
    )  # fmt: skip
    assert choose(view, kind, _backup(newest) if newest else None)[0] == wanted


@pytest.mark.parametrize("newest", ["n1g1", "n2g1", "n3g1"])
def test_where_the_primary_is_to_be_spared_an_incremental_one_is_never_made_there_while_a_replica_can(
    newest: str,
) -> None:
    view = _view(_member("n1g1", Role.PRIMARY), _member("n2g1", Role.REPLICA, 0), _member("n3g1", Role.REPLICA, 0))
    assert choose(view, Kind.INCREMENTAL, _backup(newest), spared=True)[0] == (newest if newest != "n1g1" else "n2g1")
    alone = _view(_member("n1g1", Role.PRIMARY))
    assert choose(alone, Kind.INCREMENTAL, _backup("n1g1"), spared=True) == ["n1g1"]


def test_a_member_of_a_group_is_taken_out_of_step_while_it_is_copied_and_its_own_transactions_dont_count() -> None:
    def told(flavour: Flavour) -> dict[str, Any]:
        files = mariadb_backup.node_files(flavour, spec("n1g1"), "n1g1", REPOSITORY)
        found: dict[str, Any] = json.loads(next(f.content for f in files if f.path.endswith("backup.json")))
        return found

    assert (told(GALERA)["apart"], told(GALERA)["domain"]) == ("/run/ccx-mariadb/apart.lock", 0)
    assert (told(MARIADB)["apart"], told(MARIADB)["domain"]) == ("", None)


def test_without_a_replica_that_keeps_up_it_is_made_on_the_primary() -> None:
    view = _view(
        _member("n1g1", Role.PRIMARY), _member("n2g1", Role.REPLICA, 10, healthy=False),
        _member("n3g1", Role.REPLICA, 2**30),
    )  # fmt: skip
    assert choose(view, Kind.FULL, None) == ["n1g1"]
