"""What is said of a log that waits for the object store, and of the volume that it fills."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ccx.cmon.backup import ArchiveState
from ccx.state.archive import Filling, reasons

GIB = 2**30


def test_all_is_well_while_nothing_waits_long() -> None:
    assert reasons(ArchiveState(0)) == []
    assert reasons(ArchiveState(30, waiting=GIB, volume=10 * GIB, free=GIB)) == []


@pytest.mark.parametrize(("waits", "since"), [(50.0, "more than 45 s"), (125.0, "2 min")])
def test_a_log_that_waits_is_named_with_how_much_of_it_lies_on_the_volume(waits: float, since: str) -> None:
    (said,) = reasons(ArchiveState(waits, waiting=GIB // 2, volume=10 * GIB, free=8 * GIB))
    assert said == (
        f"the log has not got into the object store for {since}: what was written since can't be restored, and 512 MiB "
        "of it wait on the volume, which is 20% full"
    )


def test_a_volume_that_fills_because_of_it_is_named_as_such_before_it_is_full() -> None:
    (said,) = reasons(ArchiveState(600, waiting=6 * GIB, volume=10 * GIB, free=2 * GIB), 1500)
    assert said.endswith(
        "the volume fills because of that: 6.0 GiB of it wait on the volume, which is 80% full (2.0 GiB free), "
        "full in about 25 min at this rate"
    )


def test_one_that_is_empty_yet_and_fills_within_hours_is_named_too() -> None:
    (said,) = reasons(ArchiveState(600, waiting=GIB, volume=100 * GIB, free=90 * GIB), 3 * 3600)
    assert "the volume fills because of that" in said
    assert "full in about 3 hours at this rate" in said


def test_what_was_given_up_is_said_until_a_full_backup_makes_up_for_it() -> None:
    at = datetime(2026, 3, 1, 12, 34, tzinfo=UTC)
    (said,) = reasons(ArchiveState(0, given_up=12, given_up_since=at))
    assert said.startswith("12 segments of the log were given up from 2026-03-01 12:34 UTC on")
    assert "next full backup" in said


def test_how_soon_a_volume_is_full_comes_from_how_it_shrank() -> None:
    filling = Filling()
    assert filling.after(0, 1000) is None
    assert filling.after(5, 950) is None  # too short a time to tell
    assert filling.after(20, 800) == 80
    assert filling.after(40, 1000) is None  # it grows again


def test_only_the_last_minutes_count() -> None:
    filling = Filling()
    for second in range(0, 3600, 15):
        filling.after(second, 10_000)
    assert filling.after(3600, 9_000) == pytest.approx(9_000 * 600 / 1_000, rel=0.05)
