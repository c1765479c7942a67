"""What reading MariaDB's backups and log through finds, and for which backup it counts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import mariadb_verify
from agent.ccx_agent.log_parts import Part
from tests.unit.folder_store import folder_store


class Kept:
    """What a store has."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def backup(self, name: str, behind: int, *, damaged: bool = False) -> None:
        at, data = self.store / "backup/abc" / name, f"data of {name}".encode()
        at.mkdir(parents=True)
        one = {
            "id": name, "parent": None, "ended": float(behind), "gtid": f"0-1-{behind}", "stored": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }  # fmt: skip
        (at / "manifest.json").write_text(json.dumps(one) + "\n")
        (at / "data.xbstream.zst").write_bytes(b"other" if damaged else data)

    def log(self, start: int, last: int, *, damaged: bool = False) -> str:
        """The name of a part of it, which was closed when its last transaction was written."""
        at, content = self.store / "archive/abc", f"from {start} to {last}".encode()
        at.mkdir(parents=True, exist_ok=True)
        part = Part(1, start, last, last, hashlib.sha256(content).hexdigest()[:40], "n1g1", "binlog.000007")
        (at / part.name).write_bytes(b"other" if damaged else content)
        return part.name

    def verify(self, backup: str | None = None) -> dict[str, Any]:
        told = {"archive": "abc", "rclone": "rclone.conf"}
        return mariadb_verify.verify(told, backup, self.store.with_name("far"))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(folder_store(tmp_path, monkeypatch))


def test_the_log_behind_a_gap_is_read_for_the_backups_that_need_it(kept: Kept) -> None:
    kept.backup("first", 100)
    kept.backup("second", 300)
    kept.log(100, 200)
    damaged = kept.log(300, 400, damaged=True)
    kept.log(400, 500)
    found = kept.verify()
    assert list(found["log"]) == [damaged]
    assert found["until"] == {"first": 199, "second": 300.0}, "as far as the log is whole; else the backup's own end"


def test_one_that_is_damaged_is_named_and_the_others_are_not(kept: Kept) -> None:
    kept.backup("first", 100)
    kept.backup("second", 200, damaged=True)
    kept.log(100, 200)
    found = kept.verify()
    assert found["checked"] == ["first", "second"]
    assert list(found["damaged"]) == ["second"]
    assert (found["log"], found["until"]) == ({}, {})
    assert kept.verify("first")["damaged"] == {}
