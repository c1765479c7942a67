"""Which kind of backup is made, what it leaves in the store, and that one that fails is none.

By MariaDB's tool and by Percona's; the latter is a script here that leaves notes as its documentation shows them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import copying, mariadb_copy, mariadb_restore, mariadb_ship, mariadb_store, mysql_clone
from agent.ccx_agent.mariadb_copy import DATA, MANIFEST
from tests.unit.folder_store import DAMAGED, folder_store

A, B = (f"0000000{n}-0000-0000-0000-000000000000" for n in (1, 2))
GTIDS = {"mariadb-backup": "0-1-57", "xtrabackup": f"{A}:1-57,\n{B}:1-2"}
NOTES = {"mariadb-backup": "mariadb_backup", "xtrabackup": "xtrabackup"}
VERSIONS = {"mariadb-backup": "11.8.9", "xtrabackup": "8.4.3-3"}

# It fails when there is a file `fails`, after it has written all that it copies.
TOOL = """#!/bin/sh
for word; do case "$word" in --extra-lsndir=*) notes="${{word#*=}}" ;; esac; done
echo "$@" >>{folder}/asked
printf 'pages and pages'
[ ! -e {folder}/fails ] || {{ echo "[ERROR] the disk is bad" >&2; exit 1; }}
printf 'from_lsn = 0\\nto_lsn = 4711\\n' >"$notes/{notes}_checkpoints"
cat >"$notes/{notes}_info" <<'END'
server_version = {version}
binlog_pos = filename 'binlog.000002', position '196', GTID of the last change '{gtid}'
END
"""


class Node:
    def __init__(self, folder: Path, store: Path, tool: str) -> None:
        self.folder, self.store, self.tool = folder, store, tool
        (folder / "data").mkdir()
        (folder / "data" / "ibdata1").write_text("x" * 5000)

    def back_up(self, name: str, kind: str) -> dict[str, Any]:
        told = {
            "archive": "abc", "label": "n1g1", "rclone": "rclone.conf", "server": "my.cnf", "socket": "s",
            "data": str(self.folder / "data"), "work": str(self.folder), "domain": None,
            "speech": "mariadb" if self.tool == "mariadb-backup" else "mysql",
        }  # fmt: skip
        return mariadb_copy.make(told, name, kind, self.folder / f"far-{name}")

    def stored(self) -> list[str]:
        return sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.is_file())


@pytest.fixture(params=["mariadb-backup", "xtrabackup"])
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Node:
    tool: str = request.param
    told = {"notes": NOTES[tool], "gtid": GTIDS[tool], "version": VERSIONS[tool]}
    return Node(tmp_path, folder_store(tmp_path, monkeypatch, **{tool: TOOL.format(folder=tmp_path, **told)}), tool)


def test_a_backup_is_its_data_and_a_manifest_that_says_where_it_ends(node: Node) -> None:
    made = node.back_up("1f", "full")
    at = f"backup/abc/{made['id']}"
    assert node.stored() == [f"{at}/{DATA}", f"{at}/{MANIFEST}"]
    wanted = (GTIDS[node.tool].replace("\n", ""), "4711", VERSIONS[node.tool], None)
    assert (made["gtid"], made["to_lsn"], made["version"], made["parent"]) == wanted
    assert made["tool"] == node.tool
    assert copying.ends_behind(made) == {"mariadb-backup": 57, "xtrabackup": 59}[node.tool]
    assert made["sha256"] == hashlib.sha256((node.store / at / DATA).read_bytes()).hexdigest()
    assert node.back_up("1f", "full") == made, "who asks again finds it"
    assert not (node.folder / "copy-1f").exists()


def test_an_incremental_one_needs_one_of_the_same_copy_of_the_data_before_it(node: Node) -> None:
    assert node.back_up("1f", "incremental")["kind"] == "full", "there is none before it"
    second = node.back_up("2f", "incremental")
    assert second["kind"] == "incremental"
    assert "--incremental-lsn=4711" in (node.folder / "asked").read_text()
    (node.folder / "data" / "ccx-lineage").unlink()  # made anew
    assert node.back_up("3f", "incremental")["kind"] == "full"
    (node.folder / "data" / "ccx-lineage").write_text("")  # the power went while it was written
    cut_short = node.back_up("4f", "incremental")
    assert cut_short["kind"] == "full"
    assert cut_short["lineage"], "two nodes that have none would have the same"


def test_no_increment_builds_on_a_copy_that_another_tool_made(node: Node) -> None:
    made = node.back_up("1f", "full")
    manifest = node.store / "backup/abc" / made["id"] / MANIFEST
    manifest.write_text(json.dumps(made | {"tool": "clone"}) + "\n")
    assert node.back_up("2f", "incremental")["parent"] is None


def test_of_several_copies_only_the_last_one_is_rolled_back() -> None:
    """By Percona's documentation. MariaDB's tool knows no such thing."""
    xtrabackup, fresh, increment = copying.tool_named("xtrabackup"), Path("/fresh"), Path("/fresh.increment")
    assert xtrabackup.prepare(fresh, None, last=True) == ["xtrabackup", "--prepare", "--target-dir=/fresh"]
    assert xtrabackup.prepare(fresh, None, last=False)[-1] == "--apply-log-only"
    on_top = xtrabackup.prepare(fresh, increment, last=True)
    assert on_top == ["xtrabackup", "--prepare", "--target-dir=/fresh", "--incremental-dir=/fresh.increment"]
    assert copying.tool_named("mariadb-backup").prepare(fresh, increment, last=False) == ["mariadb-backup", *on_top[1:]]


def test_a_server_copies_its_data_itself_only_where_there_is_no_tool_and_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tool = copying.tool_here({"speech": "mysql"})
    assert (tool.name, tool.increments) == ("clone", False)
    with pytest.raises(copying.NoCopy, match=r"no room for a copy on the node's volume: .* it takes 1073741824 MiB"):
        tool.begin({}, 2**50, tmp_path, lambda _: None)
    assert isinstance(tool, mysql_clone.Clone)
    assert mysql_clone.RESERVE > mariadb_ship.RESERVE, "a copy must not have the log given up"
    (tmp_path / "xtrabackup").touch(mode=0o755)
    assert copying.tool_here({"speech": "mysql"}).name == "xtrabackup"
    assert copying.tool_here({}).name == "mariadb-backup"


@pytest.mark.parametrize(("process", "user"), [(0, "root"), (110, "mysql")])
def test_a_server_is_told_to_end_its_own_copy_by_whoever_clears_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: int, user: str
) -> None:
    """The agent is another user than who makes backups: as that one it was refused, and the copy went on."""
    asked: list[str] = []

    def connected(_path: str, user: str, _limit: float) -> None:
        asked.append(user)
        raise mysql_clone.ServerSilent

    monkeypatch.setattr(mysql_clone, "Connection", connected)
    monkeypatch.setattr(mysql_clone.os, "geteuid", lambda: process)
    mysql_clone.Clone().forget({"socket": "s"}, tmp_path / "copy-1f")
    assert asked == [user]


def test_what_the_tool_fails_at_is_no_backup_and_the_next_one_removes_what_it_left(node: Node) -> None:
    (node.folder / "fails").touch()
    with pytest.raises(Exception, match="the disk is bad"):
        node.back_up("1f", "full")
    assert not [name for name in node.stored() if name.endswith(MANIFEST)]
    left = node.store / "backup/abc/20260101T000000Z-full"
    left.mkdir(parents=True)
    (left / DATA).write_text("of one that was killed")
    (node.folder / "fails").unlink()
    made = node.back_up("2f", "full")
    assert {name.split("/")[2] for name in node.stored()} == {made["id"]}


def test_a_copy_that_another_one_left_on_the_volume_goes_with_the_next(node: Node) -> None:
    """The machine was away when the job gave up or another node made it: nobody would ask for it any more."""
    left = node.folder / "copy-1f" / "clone"
    left.mkdir(parents=True)
    (left / "ibdata1").write_text("as large as the data")
    node.back_up("2f", "full")
    assert not list(node.folder.glob("copy-*"))


def test_what_the_store_does_not_take_is_no_backup(node: Node) -> None:
    (node.store / "full").touch()
    with pytest.raises(Exception, match="no room"):
        node.back_up("1f", "full")
    assert node.stored() == ["full"]


def test_a_damaged_manifest_keeps_nobody_from_the_other_backups_and_no_new_one_builds_on_it(node: Node) -> None:
    made, damaged = node.back_up("1f", "full"), "20990101T000000Z-incremental"
    left = node.store / "backup/abc" / damaged
    left.mkdir()
    (left / MANIFEST).write_text(DAMAGED)
    (left / DATA).write_text("what it was of")
    assert node.back_up("2f", "incremental")["parent"] == made["id"]
    told = {"archive": "abc", "rclone": "rclone.conf"}
    found = {one["id"]: one for one in mariadb_copy.manifests(mariadb_store.Store(told), told)}
    assert len(found) == 3
    assert found[damaged]["damaged"] == f"{damaged}/{MANIFEST} can't be decrypted: it is not what was stored"
    assert (left / DATA).exists(), "what is left of it stays to be looked at"
    with pytest.raises(mariadb_restore.NoRestore, match=r"is damaged: .* can't be decrypted"):
        mariadb_restore._chain(found, damaged)
