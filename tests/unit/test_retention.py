"""Which backups go: never one that a kept one needs, never the last good one, never too early."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ccx.runner.retention import removable

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class One:
    label: str
    ended_at: datetime
    parent: str | None = None
    good: bool = True
    unusable: str | None = None


def full(days_ago: float, **changed: object) -> One:
    return One(f"{days_ago:g}F", NOW - timedelta(days=days_ago), **changed)  # type: ignore[arg-type]


def after(parent: One, days_ago: float, **changed: object) -> One:
    return One(f"{parent.label}_{days_ago:g}I", NOW - timedelta(days=days_ago), parent.label, **changed)  # type: ignore[arg-type]


def test_what_no_time_of_the_days_needs_goes_with_what_builds_on_it() -> None:
    old, needed, new = full(20), full(15), full(1)
    found = [old, after(old, 19), needed, after(needed, 14.5), new]
    assert removable(found, NOW, 14, 0) == ["20F", "20F_19I"]


def test_the_newest_full_ones_stay_however_old_they_are() -> None:
    found = [full(90), full(80), full(70)]
    assert removable(found, NOW, 14, 2) == ["90F"]
    assert removable(found, NOW, 14, 1) == ["90F", "80F"]
    assert removable(found, NOW, 14, 0) == ["90F", "80F"]


def test_without_days_the_count_decides_and_without_either_nothing_goes() -> None:
    found = [full(3), full(2), full(1)]
    assert removable(found, NOW, 0, 1) == ["3F", "2F"]
    assert removable(found, NOW, 0, 0) == []


def test_what_cannot_be_restored_is_not_counted() -> None:
    found = [full(60), full(40), full(20, unusable="bundle/1 is missing"), full(10, good=False)]
    assert removable(found, NOW, 1, 1) == ["60F"]
    assert removable([full(60, unusable="torn"), full(50, good=False)], NOW, 1, 1) == []


@st.composite
def backups(draw: st.DrawFn) -> list[One]:
    found: list[One] = []
    for number in range(draw(st.integers(0, 12))):
        at = NOW - timedelta(hours=draw(st.integers(0, 24 * 40)), minutes=number)
        earlier = [one for one in found if one.ended_at < at]
        parent = draw(st.sampled_from([None, *earlier])) if earlier else None
        found.append(
            One(
                f"b{number}",
                at,
                parent.label if parent else None,
                draw(st.booleans()),
                draw(st.sampled_from([None, "torn"])),
            )
        )
    return found


@given(backups(), st.integers(0, 40), st.integers(0, 5))
def test_nothing_goes_that_is_still_needed(found: list[One], days: int, count: int) -> None:
    gone = set(removable(found, NOW, days, count))
    known = {one.label: one for one in found}
    kept = [one for one in found if one.label not in gone]
    # What a kept one builds on is kept.
    assert all(one.parent is None or one.parent not in known or one.parent not in gone for one in kept)
    usable = sorted(
        (one for one in found if one.parent is None and one.good and not one.unusable), key=lambda one: one.ended_at
    )
    if gone:
        assert usable
        # The newest good ones are kept, that many; and one from which all of the days can be restored.
        assert not {one.label for one in usable[-max(count, 1) :]} & gone
        reaching = [one for one in usable if one.ended_at <= NOW - timedelta(days=days)]
        if days:
            assert (reaching[-1] if reaching else usable[0]).label not in gone
        # The log is whole behind the oldest: what goes is older than all full ones that stay.
        oldest = min(one.ended_at for one in kept if one.parent is None)
        assert all(one.ended_at < oldest for one in found if one.label in gone and one.parent is None)


@given(backups(), st.integers(1, 40), st.integers(0, 5))
def test_it_settles_what_went_does_not_make_more_go(found: list[One], days: int, count: int) -> None:
    gone = set(removable(found, NOW, days, count))
    assert removable([one for one in found if one.label not in gone], NOW, days, count) == []
