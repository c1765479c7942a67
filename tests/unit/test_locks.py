"""Until when which objects of a backup are locked: as long as anything that needs them, and not anew each hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ccx.runner.steps.locks import Wanted, plan
from ccx.stores.models import Backup

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def backup(label: str, hours: float, parent: str | None = None, locked_days: float | None = None) -> Backup:
    began = NOON + timedelta(hours=hours)
    locked = NOON + timedelta(days=locked_days) if locked_days is not None else None
    return Backup(label=label, parent=parent, started_at=began, locked_until=locked)


def test_a_full_backup_and_its_log_are_locked_a_little_longer_than_asked_for() -> None:
    assert plan("1F", [backup("1F", 0)], NOON, 7) == Wanted(("1F",), NOON, NOON + timedelta(days=8))


def test_the_log_between_the_last_one_and_a_full_one_is_locked_with_the_full_one() -> None:
    """Nothing else would: a time between the two is reached by it."""
    known = [backup("3F", 24), backup("2I", 23, "1F", locked_days=8), backup("1F", 0, locked_days=8)]
    assert plan("3F", known, NOON + timedelta(hours=24), 7).log_since == NOON + timedelta(hours=23)
    known[1].branch = 1
    assert plan("3F", known, NOON + timedelta(hours=24), 7).log_since == NOON


def test_what_builds_on_a_locked_one_is_locked_no_longer_than_that_one() -> None:
    known = [backup("2I", 1, "1F"), backup("1F", 0, locked_days=8)]
    found = plan("2I", known, NOON + timedelta(hours=1), 7)
    assert found == Wanted(("2I",), NOON, NOON + timedelta(days=8))


def test_what_it_builds_on_is_locked_anew_when_it_would_be_free_before_it() -> None:
    known = [backup("3I", 30, "2I"), backup("2I", 1, "1F", locked_days=8), backup("1F", 0, locked_days=8)]
    found = plan("3I", known, NOON + timedelta(hours=30), 7)
    assert found.labels == ("3I", "2I", "1F")
    assert found.log_since == NOON
    assert found.until == NOON + timedelta(hours=30) + timedelta(days=8)


def test_one_whose_lock_was_never_set_locks_all_that_it_needs() -> None:
    known = [backup("2I", 1, "1F"), backup("1F", 0)]
    assert plan("2I", known, NOON + timedelta(hours=1), 7).labels == ("2I", "1F")


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=20), st.integers(1, 9))
def test_each_backup_is_locked_with_all_below_it_and_the_log_without_a_gap(
    made: list[tuple[int, bool]], days: int
) -> None:
    """``made``: so many hours after the one before, and whether it is a full one."""
    known: list[Backup] = []
    hours = 0
    for place, (later, full) in enumerate(made):
        hours += later
        one = backup(f"{place}", hours, None if full or not known else known[0].label)
        known, now = [one, *known], NOON + timedelta(hours=hours)
        wanted = plan(one.label, known, now, days)
        by_label = {each.label: each for each in known}
        for label in wanted.labels:
            assert by_label[label].locked_until is None or by_label[label].locked_until <= wanted.until
            by_label[label].locked_until = wanted.until
        below: str | None = one.label
        while below is not None:
            assert by_label[below].locked_until is not None
            assert by_label[below].locked_until >= now + timedelta(days=days)
            below = by_label[below].parent
        if len(known) > 1:  # the log since the last time
            assert wanted.log_since <= known[1].started_at
