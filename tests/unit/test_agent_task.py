"""How a node waits for a task of its own: the kernel says when the process has ended."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from agent.ccx_agent.errors import AgentError
from agent.ccx_agent.task import _until_ended, finish


def test_the_end_of_a_process_is_seen_at_once_and_nothing_is_asked_meanwhile() -> None:
    told: list[float] = []
    with subprocess.Popen(["sleep", "1.2"]) as process:
        began = time.monotonic()
        _until_ended(process.pid, began + 30, lambda: told.append(time.monotonic() - began))
        took = time.monotonic() - began
    assert 1.1 < took < 10
    assert len(told) == 1, "once a second"


def test_a_process_that_goes_on_is_watched_no_longer_than_was_asked() -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        began = time.monotonic()
        _until_ended(process.pid, began + 0.2, lambda: None)
        took = time.monotonic() - began
        process.kill()
    assert 0.2 <= took < 10


def test_a_process_that_is_not_there_is_not_waited_for() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    began = time.monotonic()
    _until_ended(process.pid, began + 30, lambda: None)
    _until_ended(0, began + 30, lambda: None)
    assert time.monotonic() - began < 10


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of systemd's commands: ``state`` is what the unit comes to; ``asked`` is what was asked of them."""
    for name in ("systemctl", "systemd-run", "journalctl"):
        program = tmp_path / name
        program.write_text(_SYSTEMD.format(folder=tmp_path))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


_SYSTEMD = """#!/bin/sh
echo "$(basename "$0") $*" >> {folder}/asked
case "$(basename "$0") $*" in
    systemd-run*) touch {folder}/started ;;
    "systemctl show"*)
        if [ -e {folder}/started ]; then
            printf 'LoadState=loaded\n'; cat {folder}/state
        else
            echo LoadState=not-found
        fi ;;
    journalctl*) echo "the disk is full" ;;
esac
"""


def test_a_task_that_fails_is_cleared_away_and_its_last_words_are_told(systemd: Path) -> None:
    (systemd / "state").write_text("ActiveState=failed\nSubState=failed\n")
    with pytest.raises(AgentError, match="copy-1 failed: the disk is full"):
        finish("copy-1", ["false"], lambda _: None)
    asked = (systemd / "asked").read_text().splitlines()
    assert asked[-2:] == ["systemctl stop ccx-task-copy-1.service", "systemctl reset-failed ccx-task-copy-1.service"]


def test_a_task_that_succeeds_is_started_once_and_cleared_away(systemd: Path) -> None:
    (systemd / "state").write_text("ActiveState=active\nSubState=exited\n")
    finish("copy-1", ["true"], lambda _: None)
    asked = (systemd / "asked").read_text()
    assert asked.count("systemd-run") == 1
    assert asked.rstrip().endswith("systemctl reset-failed ccx-task-copy-1.service")
