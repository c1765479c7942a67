"""What is said of a log that waits for the object store, and of the volume that it fills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ccx.cmon.backup import ArchiveState
from ccx.state.archive import Filling, Gap, joined, reasons

GIB = 2**30
NOON, HOUR = datetime(2026, 3, 1, 12, tzinfo=UTC), timedelta(hours=1)


def _noted(count: int, since: datetime, last: datetime) -> ArchiveState:
    return ArchiveState(0, given_up=count, given_up_since=since, given_up_last=last)


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


def test_what_was_given_up_is_said_with_how_much_where_the_primary_knows_all_of_it() -> None:
    (said,) = reasons(_noted(12, NOON, NOON + HOUR), gap=Gap(NOON, NOON + HOUR))
    assert said.startswith("12 segments of the log were given up from 2026-03-01 12:00 UTC on, because")
    assert "next full backup" in said


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(ArchiveState(0), id="another-primary-noted-none"),
        pytest.param(ArchiveState(0, given_up=3), id="nor-when"),
        pytest.param(_noted(3, NOON + HOUR, NOON + HOUR), id="another-primary-gave-up-more"),
        pytest.param(_noted(3, NOON, NOON), id="another-primary-gave-up-the-last"),
        pytest.param(_noted(3, NOON - HOUR, NOON + HOUR), id="some-are-made-up-for"),
    ],
)
def test_of_what_another_node_noted_nobody_says_how_much_it_was(archive: ArchiveState) -> None:
    (said,) = reasons(archive, gap=Gap(NOON, NOON + HOUR))
    assert said.startswith("parts of the log were given up from 2026-03-01 12:00 UTC on, because")


def test_what_a_node_noted_is_nothing_to_say_when_a_full_backup_has_made_up_for_it() -> None:
    """Its answer may be older than the backup; and one that was away goes on having it noted."""
    assert reasons(_noted(12, NOON, NOON), gap=Gap(NOON, NOON).behind(NOON + HOUR)) == []


@pytest.mark.parametrize(
    ("full", "left"),
    [
        (None, (NOON, NOON + HOUR)),
        (NOON - HOUR, (NOON, NOON + HOUR)),
        (NOON + HOUR / 2, (NOON + HOUR / 2, NOON + HOUR)),
        (NOON + HOUR, (NOON + HOUR, NOON + HOUR)),
        (NOON + HOUR + timedelta(milliseconds=999), (NOON + HOUR, NOON + HOUR)),
        (NOON + HOUR + timedelta(seconds=1), None),
    ],
    ids=["no-full", "before", "amid", "in-the-same-second", "late-in-it", "after"],
)
def test_a_gap_is_made_up_for_by_a_full_backup_that_began_after_it(
    full: datetime | None, left: tuple[datetime, datetime] | None
) -> None:
    assert Gap(NOON, NOON + HOUR).behind(full) == (Gap(*left) if left else None)


def test_what_is_known_of_a_gap_only_grows_until_it_is_made_up_for() -> None:
    known, later = Gap(NOON, NOON + HOUR), Gap(NOON + 2 * HOUR, NOON + 3 * HOUR)
    assert joined(None, known, None) == known
    assert joined(known, known, None) == known
    assert joined(known, Gap(NOON, NOON + 2 * HOUR), None) == Gap(NOON, NOON + 2 * HOUR)
    assert joined(known, later, None) == Gap(NOON, NOON + 3 * HOUR), "another primary gave up more"
    assert joined(later, known, None) == Gap(NOON, NOON + 3 * HOUR), "or less, of before"
    assert joined(known, later, NOON + 1.5 * HOUR) == later, "what was made up for is another gap"
    assert joined(later, known, NOON + 1.5 * HOUR) == later, "an old word is no news"
    assert joined(known, known, NOON + 1.5 * HOUR) == known
    assert joined(None, known, NOON + 1.5 * HOUR) is None


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
