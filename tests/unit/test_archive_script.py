"""The script that PostgreSQL archives its log by, in a real shell: it gives log up only to keep a volume free."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from agent.ccx_agent.backup import forget_given_up, given_up

from ccx.cmon.backup import archiving

SEGMENT = "0000000100000000000000AB"


class Node:
    """A data directory, and programs that do as the test wants: how full the volume is, if the store takes it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.noted = folder, folder / "given-up"
        (folder / "pg_wal" / "archive_status").mkdir(parents=True)
        (folder / "bin").mkdir()
        self.says("pgbackrest", 'echo "$@" >>pushed')
        text = archiving.script().replace(str(archiving.GIVEN_UP), str(self.noted))
        assert str(self.noted) in text
        (folder / "archive").write_text(text)

    def says(self, program: str, script: str) -> None:
        path = self.folder / "bin" / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def archive(self, name: str = SEGMENT, *, free: int, waiting: int) -> int:
        """Its exit code, on a volume of 1000 KiB."""
        self.says("df", f'echo "Filesystem 1024-blocks Used Available"; echo "/dev/x 1000 {1000 - free} {free}"')
        for number in range(waiting):
            (self.folder / "pg_wal" / "archive_status" / f"{number:024X}.ready").touch()
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        command = ["/bin/sh", str(self.folder / "archive"), "abc", f"pg_wal/{name}"]
        return subprocess.run(command, cwd=self.folder, env={"PATH": path}, check=False).returncode

    @property
    def pushed(self) -> str:
        pushed = self.folder / "pushed"
        return pushed.read_text() if pushed.exists() else ""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_segment_goes_to_the_store(node: Node) -> None:
    assert node.archive(free=500, waiting=100) == 0
    assert node.pushed == f"--config={archiving.CONFIGURATION} --stanza=abc archive-push pg_wal/{SEGMENT}\n"
    assert given_up(node.noted) == []


def test_what_the_store_does_not_take_waits(node: Node) -> None:
    node.says("pgbackrest", "exit 82")
    assert node.archive(free=101, waiting=100) == 82
    assert given_up(node.noted) == []


def test_on_a_volume_that_is_nearly_full_of_it_a_segment_is_given_up_and_that_is_noted(node: Node) -> None:
    node.says("pgbackrest", "exit 82")
    assert node.archive(free=99, waiting=20) == 0
    ((at, name),) = given_up(node.noted)
    assert name == SEGMENT
    assert at.endswith("+00:00")


@pytest.mark.parametrize("name", ["00000002.history", f"{SEGMENT}.00000028.backup", f"{SEGMENT}.partial"])
def test_what_is_small_is_never_given_up(node: Node, name: str) -> None:
    assert node.archive(name, free=10, waiting=20) == 0
    assert name in node.pushed


def test_a_volume_that_is_full_of_something_else_is_no_reason_to_give_the_log_up(node: Node) -> None:
    assert node.archive(free=10, waiting=3) == 0
    assert SEGMENT in node.pushed


def test_a_full_backup_makes_up_for_what_was_given_up_before_it_and_for_no_more(node: Node) -> None:
    for number in (3, 4, 5):
        node.archive(f"0000000100000000000000{number:02X}", free=10, waiting=20)
    forget_given_up("000000020000000000000005", node.noted)
    assert [name[-2:] for _, name in given_up(node.noted)] == ["05"]
