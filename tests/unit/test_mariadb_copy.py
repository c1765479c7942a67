"""Which kind of backup is made, what it leaves in the store, and that one that fails is none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import mariadb_copy
from agent.ccx_agent.mariadb_copy import DATA, MANIFEST
from tests.unit.folder_store import folder_store

# It fails when there is a file `fails`, after it has written all that it copies.
MARIADB_BACKUP = """#!/bin/sh
for word; do case "$word" in --extra-lsndir=*) notes="${{word#*=}}" ;; esac; done
echo "$@" >>{folder}/asked
printf 'pages and pages'
[ ! -e {folder}/fails ] || {{ echo "[ERROR] the disk is bad" >&2; exit 1; }}
printf 'from_lsn = 0\\nto_lsn = 4711\\n' >"$notes/mariadb_backup_checkpoints"
printf 'server_version = 11.8.9\\nbinlog_pos = GTID of the last change '"'0-1-57'"'\\n' >"$notes/mariadb_backup_info"
"""


class Node:
    def __init__(self, folder: Path, store: Path) -> None:
        self.folder, self.store = folder, store
        (folder / "data").mkdir()
        (folder / "data" / "ibdata1").write_text("x" * 5000)

    def back_up(self, name: str, kind: str) -> dict[str, Any]:
        told = {
            "archive": "abc", "label": "n1g1", "rclone": "rclone.conf", "server": "my.cnf", "socket": "s",
            "data": str(self.folder / "data"), "work": str(self.folder), "domain": None,
        }  # fmt: skip
        return mariadb_copy.make(told, name, kind, self.folder / f"far-{name}")

    def stored(self) -> list[str]:
        return sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.is_file())


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    programs = {"mariadb-backup": MARIADB_BACKUP.format(folder=tmp_path)}
    return Node(tmp_path, folder_store(tmp_path, monkeypatch, **programs))


def test_a_backup_is_its_data_and_a_manifest_that_says_where_it_ends(node: Node) -> None:
    made = node.back_up("1f", "full")
    at = f"backup/abc/{made['id']}"
    assert node.stored() == [f"{at}/{DATA}", f"{at}/{MANIFEST}"]
    assert (made["gtid"], made["to_lsn"], made["version"], made["parent"]) == ("0-1-57", "4711", "11.8.9", None)
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


def test_what_mariadb_backup_fails_at_is_no_backup_and_the_next_one_removes_what_it_left(node: Node) -> None:
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


def test_what_the_store_does_not_take_is_no_backup(node: Node) -> None:
    (node.store / "full").touch()
    with pytest.raises(Exception, match="no room"):
        node.back_up("1f", "full")
    assert node.stored() == ["full"]
