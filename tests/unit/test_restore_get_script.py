"""The script that PostgreSQL gets its log by when it is restored, in a real shell: the log ends only where it ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.unit.test_cmon_backup import repository

from ccx.cmon.backup import Origin, restoring

SEGMENT = "0000000100000000000000AB"


class Node:
    """A shell that waits for nothing, and a pgBackRest that ends with these codes, one by one, the last for ever."""

    def __init__(self, folder: Path, *codes: int, path: tuple[tuple[int, str], ...] = ()) -> None:
        self._folder = folder
        (folder / "bin").mkdir()
        (folder / "codes").write_text("".join(f"{code}\n" for code in codes))
        self._says("pgbackrest", 'echo "$@" >>asked\nhead -1 codes >code\n[ $(wc -l <codes) = 1 ] || sed -i 1d codes\n'
                                 "exit $(cat code)")  # fmt: skip
        self._says("sleep", 'echo "$1" >>slept')
        (folder / "get").write_text(restoring.get_script(Origin(repository(), "src", "1F", path=path)))

    def _says(self, program: str, script: str) -> None:
        path = self._folder / "bin" / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def get(self, name: str = SEGMENT) -> int:
        path = f"{self._folder / 'bin'}:/usr/bin:/bin"
        command = ["/bin/sh", str(self._folder / "get"), name, "pg_wal/RECOVERYXLOG"]
        return subprocess.run(command, cwd=self._folder, env={"PATH": path}, check=False).returncode

    @property
    def asked(self) -> list[str]:
        return (self._folder / "asked").read_text().splitlines()


@pytest.mark.parametrize("code", [0, 1])
def test_what_the_store_has_and_what_it_does_not_have_is_said_at_once(tmp_path: Path, code: int) -> None:
    node = Node(tmp_path, code)
    assert node.get() == code
    assert node.asked == [f"--config={restoring.CONFIGURED_BY} --stanza=src archive-get {SEGMENT} pg_wal/RECOVERYXLOG"]


def test_a_store_that_is_away_is_asked_again(tmp_path: Path) -> None:
    node = Node(tmp_path, 49, 82, 0)
    assert node.get() == 0
    assert len(node.asked) == 3


def test_what_can_not_be_read_ends_the_recovery_instead_of_the_log(tmp_path: Path) -> None:
    """PostgreSQL takes any code up to 125 for the end of the log."""
    node = Node(tmp_path, 29)
    assert node.get() > 125
    assert len(node.asked) > 3


@pytest.mark.parametrize(("timeline", "stanza"), [(1, "src"), (2, "src-1"), (3, "src-1"), (10, "src-2")])
def test_each_timeline_is_read_from_the_branch_that_it_is_of(tmp_path: Path, timeline: int, stanza: str) -> None:
    node = Node(tmp_path, 0, path=((0, "src"), (2, "src-1"), (10, "src-2")))
    node.get(f"{timeline:08X}00000000000000AB")
    assert f"--stanza={stanza} " in node.asked[0]
