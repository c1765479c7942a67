"""How a node waits for a task of its own: the kernel says when the process has ended."""

from __future__ import annotations

import subprocess
import time

from agent.ccx_agent.task import _until_ended


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
