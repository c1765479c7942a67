"""What a node tells of a restore: the segment that it replays, and why it failed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import mariadb_fresh, mariadb_restore, restore
from tests.unit.mysql_peer import Table, answering

AGENT = Path(__file__).parents[2] / "agent"

JOURNAL = """\
INFO: Running custom bootstrap script: /etc/ccx/postgres/restore
2026-03-01 12:00:00.000 UTC [9] [unknown]@[unknown] FATAL:  the database system is starting up
2026-03-01 12:00:01.000 UTC [8] FATAL:  recovery ended before configured recovery target was reached
2026-03-01 12:00:02.000 UTC [9] FATAL:  the database system is shutting down
"""


def test_the_reason_is_the_last_complaint_that_is_no_usual_one() -> None:
    assert restore.reason(JOURNAL) == "recovery ended before configured recovery target was reached"
    assert restore.reason("ERROR: [055]: unable to load info file\n") == "[055]: unable to load info file"
    assert restore.reason("all is well") == "no word why"


def test_the_segment_is_that_of_the_startup_process() -> None:
    assert restore.replayed("COMMAND\npostgres: abc: startup recovering 0000000200000000000000A7\n") == (
        "0000000200000000000000A7"
    )
    assert restore.replayed("COMMAND\npostgres: abc: checkpointer\n") == ""


@pytest.mark.parametrize(
    ("made", "fits"), [("11.8.3-MariaDB-log", True), ("11.8.9", True), ("11.8.10", False), ("", True)]
)
def test_a_newer_servers_backup_is_refused_by_an_older_one_before_anything_is_copied(
    tmp_path: Path, made: str, fits: bool
) -> None:
    server = tmp_path / "mariadbd"
    server.write_text("#!/bin/sh\necho '/usr/sbin/mariadbd  Ver 11.8.9-MariaDB-0+deb13u1 for debian-linux-gnu'\n")
    server.chmod(0o755)
    one = {"id": "1F", "version": made}
    if fits:
        mariadb_restore._check_version(one, str(server))
        return
    with pytest.raises(mariadb_restore.NoRestore, match=r"made by version 11\.8\.10, and the server here is older: 11"):
        mariadb_restore._check_version(one, str(server))


def test_a_restore_that_fails_in_any_way_says_so_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all that may go wrong, a manifest that lacks something; a half-made copy may have filled the volume."""
    rclone = tmp_path / "rclone"
    rclone.write_text('#!/bin/sh\necho \'{"id": "1F"}\'\n')
    rclone.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.syspath_prepend(AGENT)
    fresh = tmp_path / "data.new"
    fresh.mkdir()
    told = {"work": str(tmp_path), "rclone": "rclone.conf", "logs": ["abc"], "backup": "1F"}
    with pytest.raises(SystemExit):
        mariadb_fresh.restored(told, fresh)
    said = json.loads((tmp_path / "restore-state").read_text())
    assert (said["state"], "ended" in said["err"], fresh.exists()) == ("failed", True, False)
    with pytest.raises(SystemExit, match="failed before"):
        mariadb_fresh.restored(told, fresh)


def test_what_was_restored_is_on_the_disk_before_it_is_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes are durable from then on, and would be of no use on data that the power takes."""
    sync = tmp_path / "sync"
    sync.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/synced; cat {tmp_path}/restore-state >>{tmp_path}/synced\n')
    sync.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.syspath_prepend(AGENT)
    monkeypatch.setattr("ccx_agent.mariadb_restore.restore", lambda _told, fresh, _tell: fresh.mkdir())
    mariadb_fresh.restored({"work": str(tmp_path)}, tmp_path / "data.new")
    asked, state = (tmp_path / "synced").read_text().split("\n", 1)
    assert asked == f"--file-system {tmp_path}/data.new"
    assert json.loads(state)["state"] == "restoring"
    assert json.loads((tmp_path / "restore-state").read_text())["state"] == "restored"


class Nobody:
    """In the place of a server."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Nobody:
        return self

    def __exit__(self, *_: object) -> None: ...

    def agree(self, _gtid: str) -> None: ...

    def settle(self, _gtid: str) -> None: ...


def test_what_is_replayed_counts_on_from_what_was_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits gives up what stands still for a quarter of an hour, and the log may take longer than the copy."""
    monkeypatch.syspath_prepend(AGENT)
    kept = {"id": "1F", "parent": None, "gtid": "0-1-5"}

    def replay(*how: Any) -> str:
        for far in (0, 7):
            how[-1]("replaying the log", far)
        return "0-1-9"

    monkeypatch.setattr("ccx_agent.mariadb_copy.manifests", lambda *_: [kept])
    monkeypatch.setattr(mariadb_restore, "_check_version", lambda *_: None)
    monkeypatch.setattr(mariadb_restore, "_unpack_all", lambda *_: 4000)
    monkeypatch.setattr(mariadb_restore, "_Server", Nobody)
    monkeypatch.setattr(mariadb_restore, "_replay", replay)
    told = {"rclone": "rclone.conf", "logs": ["abc"], "backup": "1F", "mariadbd": "mariadbd"}
    said: list[int] = []
    assert mariadb_restore.restore(told, tmp_path / "data.new", lambda _, done: said.append(done)) == "0-1-9"
    assert said == [4000, 4007]


def test_a_part_of_the_log_that_takes_long_says_meanwhile_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(AGENT)
    for name, script in (("mariadb-binlog", "cat {log}"), ("mariadb", "cat >taken; sleep 0.2"), ("bad", "exit 3")):
        (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{script.format(log=tmp_path / 'log')}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(mariadb_restore, "_TELL_EVERY_S", 0.02)
    (tmp_path / "log").write_text("a" * 5000)
    told = {"work": str(tmp_path), "run": str(tmp_path), "mariadbd": "mariadbd", "server": "my.cnf"}
    server = mariadb_restore._Server(told, tmp_path / "data")
    far = list(server.replay(tmp_path / "log", 4, None))
    assert far == sorted(far)
    assert far
    assert (tmp_path / "taken").read_text() == "a" * 5000
    (tmp_path / "bad").rename(tmp_path / "mariadb")
    with pytest.raises(mariadb_restore.NoRestore, match="can't be replayed"):
        list(server.replay(tmp_path / "log", 4, None))


def test_a_copy_that_is_prepared_for_long_is_seen_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(AGENT)
    monkeypatch.setattr(mariadb_restore, "_TELL_EVERY_S", 0.02)
    said: list[int] = []
    (tmp_path / "pages").write_text("a page\n" * 200)
    reads = ["sh", "-c", f"while read -r line; do sleep 0.01; done <{tmp_path / 'pages'}"]
    done = mariadb_restore._prepare(reads, "1F", 4000, lambda _, far: said.append(far))
    assert said == sorted(said)
    assert 4000 < said[0] < said[-1] <= done, "what comes after it counts on from there"
    with pytest.raises(mariadb_restore.NoRestore, match="preparing 1F failed: no room"):
        mariadb_restore._prepare(["sh", "-c", "echo no room >&2; exit 1"], "1F", 0, lambda *_: None)


@pytest.mark.parametrize(
    ("runs", "whole"),
    [("trap 'kill $!; exit 0' TERM; sleep 60 >&- 2>&- & echo >up; wait", True), ("echo >up; exec sleep 60", False)],
)
def test_a_server_that_did_not_come_to_its_own_end_has_not_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: str, whole: bool
) -> None:
    """What it replayed last is on the disk only then."""
    monkeypatch.syspath_prepend(AGENT)
    server = tmp_path / "mariadbd"
    server.write_text(f"#!/bin/sh\ncd {tmp_path}; {runs}\n")
    server.chmod(0o755)
    (tmp_path / "binlog").mkdir()
    told = {"run": str(tmp_path), "work": str(tmp_path), "binlogs": str(tmp_path / "binlog"),
            "mariadbd": str(server), "server": "my.cnf"}  # fmt: skip

    def answer(_statement: str) -> Table:
        while not (tmp_path / "up").exists():
            time.sleep(0.01)
        return []

    with answering(tmp_path / "restore.sock", answer):
        if whole:
            with mariadb_restore._Server(told, tmp_path / "data"):
                pass
            return
        with pytest.raises(mariadb_restore.NoRestore, match="by force"), mariadb_restore._Server(told, tmp_path):
            pass
        with pytest.raises(LookupError), mariadb_restore._Server(told, tmp_path):
            raise LookupError("why it failed is what is told")
