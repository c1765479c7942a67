"""How a job's steps look while it runs, and when it is over."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tests.unit.cli_recorded import job, step

from ccx.cli import display as display_module
from ccx.cli.display import LiveDisplay, PlainDisplay
from ccx.cli.progress import doing, duration


def lines(display: LiveDisplay) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(display._render())
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_a_terminal_shows_what_is_done_and_what_is_at_work() -> None:
    display = LiveDisplay()
    at_work = {**step("boot", None), "progress": {"done": 1, "total": 3, "unit": "nodes", "note": "1 of 3 nodes"}}
    display.update(job("JOB_STATUS_RUNNING", step("reserve", 0.4), at_work))
    done, running = lines(display)
    assert done == "✓ reserve 0.4 s"
    assert running.endswith("boot 0.0 s 1 of 3 nodes")


def test_a_step_that_failed_or_was_undone_has_no_tick() -> None:
    display = LiveDisplay()
    display.update(
        job("JOB_STATUS_ERRORED", step("boot", 3, "failed"), step("volume", 4, "undone"), step("join", None))
    )
    assert lines(display) == ["✗ boot failed", "✗ volume undone", "✗ join"]


def test_names_are_no_markup() -> None:
    display = LiveDisplay()
    display.update(job("JOB_STATUS_RUNNING", step("server [n1g1]", 1.0)))
    assert lines(display) == ["✓ server [n1g1] 1.0 s"]


def test_a_note_stands_below_until_the_next_news() -> None:
    display = LiveDisplay()
    display.note("waiting")
    assert lines(display)[-1] == "waiting"
    display.update(job("JOB_STATUS_RUNNING"))
    assert "waiting" not in lines(display)


def test_a_log_gets_each_outcome_once(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay()
    for _ in range(2):
        display.update(job("JOB_STATUS_RUNNING", step("reserve", 0.4), step("boot", None)))
    display.update(job("JOB_STATUS_ERRORED", step("reserve", 2, "undone"), step("boot", 3, "failed")))
    shown = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert shown == [["reserve", "0.4", "s"], ["reserve", "undone"], ["boot", "failed"]]


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.04, "0.0 s"), (99.94, "99.9 s"), (100, "1 min 40 s"), (3605, "60 min 05 s")]
)
def test_durations_are_for_people(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (None, ""),
        ({"done": 3, "total": 4, "unit": "nodes", "note": "3 of 4"}, "3 of 4"),
        ({"done": 0, "total": None, "unit": "bytes", "note": "waiting"}, "waiting"),
        (
            {"done": 3 * 2**29, "total": 2**31, "unit": "bytes", "rate": 2.5 * 2**20, "note": "copying"},
            "1.5 GiB of 2.0 GiB, 2.5 MiB/s, copying",
        ),
        ({"done": 2**20, "total": None, "unit": "bytes", "rate": None, "note": None}, "1.0 MiB"),
    ],
)
def test_bytes_are_told_with_their_speed(told: dict[str, object] | None, text: str) -> None:
    assert doing({**step("backup", None), "progress": told}) == text


def test_a_step_that_is_tried_again_says_why_beside_how_far_it_is() -> None:
    waits = {**step("backup", None), "attempts": 2, "error": "the object store does not answer"}
    assert doing(waits) == "tried again: the object store does not answer"
    told = {"done": 2**20, "total": None, "unit": "bytes", "rate": None, "note": None}
    assert doing({**waits, "progress": told}) == "1.0 MiB, tried again: the object store does not answer"


def test_a_log_is_told_now_and_then_how_far_a_long_step_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work = {**step("backup", None), "progress": {"done": 2**20, "unit": "bytes"}}
    display = PlainDisplay()
    display.update(job("JOB_STATUS_RUNNING", at_work))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(display_module, "SAID_EVERY", 0.0)
    display.update(job("JOB_STATUS_RUNNING", at_work))
    assert capsys.readouterr().err == "backup: 1.0 MiB\n"
