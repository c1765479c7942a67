"""Which backups go: never one that a kept one needs, never the last good one, never too early."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.runner import branches
from ccx.runner.retention import expiring, former, removable
from ccx.stores.models import Backup, Datastore

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


def test_what_builds_on_one_that_is_missing_is_never_the_reason_that_the_last_good_one_goes() -> None:
    orphan = after(full(20), 10)
    assert removable([full(60), orphan], NOW, 0, 1) == []
    assert removable([full(60), orphan], NOW, 5, 0) == []
    assert removable([orphan, full(5)], NOW, 1, 1) == [orphan.label]


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


def restored(*days_ago: float) -> Datastore:
    """Each time, in place, from the branch that served."""
    made = Datastore(short_id="abc", branch=0, branches=[], served=[], restoring=None)
    for ago in days_ago:
        moment = NOW - timedelta(days=ago)
        number = branches.begin(made, made.branch, moment)
        made.branch, made.served = number, [*made.served, [moment.isoformat(), number]]
    return made


def of(branch: int, days_ago: float, locked_until: datetime | None = None) -> Backup:
    return Backup(
        label=f"{branch}-{days_ago:g}F", parent=None, ended_at=NOW - timedelta(days=days_ago), good=True, unusable=None,
        branch=branch, locked_until=locked_until,
    )  # fmt: skip


def test_a_former_branch_goes_whole_when_no_time_that_is_kept_needs_it() -> None:
    found = [of(0, 40), of(0, 21), of(1, 19), of(1, 1)]
    assert former(restored(20), found, NOW, 14, 2) == [0]
    assert former(restored(20), found, NOW, 30, 2) == []
    assert former(restored(20), found, NOW, 14, 3) == []
    assert former(restored(20), found, NOW, 0, 0) == []


def test_a_former_branch_stays_while_one_of_its_backups_is_locked_or_its_data_are_kept() -> None:
    kept, found = restored(20), [of(0, 21), of(1, 19), of(1, 1)]
    kept.restoring = {"state": branches.KEPT, "branch": 1, "of": 0}
    assert former(kept, found, NOW, 14, 2) == []
    assert former(restored(20), [of(0, 21, NOW + timedelta(days=1)), *found[1:]], NOW, 14, 2) == []


def test_the_log_of_a_branch_stays_as_long_as_it_leads_from_a_kept_backup_to_the_branch_that_serves() -> None:
    """Branch 1 has no backup of its own: to a time of branch 2, recovery comes from 0 by 1."""
    made = restored(20, 19)
    assert former(made, [of(0, 21), of(2, 1)], NOW, 14, 2) == []
    assert former(made, [of(0, 21), of(2, 18), of(2, 1)], NOW, 14, 2) == [0, 1]


def test_what_was_restored_and_taken_back_goes_though_what_it_came_from_serves() -> None:
    made = restored(20)
    made.branch, made.served = 0, [*made.served, [(NOW - timedelta(days=19)).isoformat(), 0]]
    assert former(made, [of(0, 30), of(1, 19.5), of(0, 15), of(0, 1)], NOW, 14, 2) == [1]
    assert former(made, [of(0, 30), of(1, 19.5), of(0, 1)], NOW, 14, 2) == []


def test_the_branch_stays_by_which_another_ones_first_hour_is_reached() -> None:
    """Restored from branch 0 twice in a short time: before its own first backup, branch 2 is reached from there."""
    made = restored(10)
    made.branch = branches.begin(made, 0, NOW - timedelta(days=10.1))
    made.served = [*made.served, [(NOW - timedelta(days=9.99)).isoformat(), made.branch]]
    found = [of(0, 11), of(1, 9.995), of(2, 9.9), of(2, 1)]
    assert former(made, found, NOW, 9.993, 0) == []
    assert former(made, found, NOW, 9, 0) == [0, 1]


@dataclass
class History:
    """What was done to a datastore, as the jobs leave it."""

    datastore: Datastore
    backups: list[Backup]

    def base(self, moment: datetime, backups: list[Backup]) -> Backup | None:
        """With which of these a restore to that moment begins."""
        past = branches.past(self.datastore, branches.at(self.datastore, moment))
        until = {one.branch: min(moment, one.until or moment) for one in past}
        there = [one for one in backups if one.branch in until and one.ended_at <= until[one.branch]]
        return max(there, key=lambda one: one.ended_at, default=None)

    def logs(self, moment: datetime, base: Backup) -> set[str]:
        """Those that it reads."""
        path = branches.path(self.datastore, base.branch, branches.at(self.datastore, moment))
        return {name for _, name in path}


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Backups, restores in place to any time that can be had, each backed up soon after, some taken back."""
    does = st.tuples(st.sampled_from(["backup", "restore", "undo"]), st.integers(2, 200), st.floats(0, 1))
    deeds = draw(st.lists(does, min_size=1, max_size=12))
    at = NOW - timedelta(hours=1 + sum(hours for _, hours, _ in deeds))
    made = History(Datastore(short_id="abc", branch=0, branches=[], served=[], restoring=None), [])
    store, came_from = made.datastore, None

    def back_up(ended: datetime) -> None:
        label = f"{store.branch}-{len(made.backups)}F"
        backup = Backup(label=label, parent=None, ended_at=ended, good=True, unusable=None, branch=store.branch)
        made.backups.append(backup)

    back_up(at)
    for deed, hours, part in deeds:
        at += timedelta(hours=hours)
        if deed == "backup":
            back_up(at)
        elif deed == "restore":
            moment = made.backups[0].ended_at + part * (at - made.backups[0].ended_at)
            if made.base(moment, made.backups) is None:
                continue
            came_from = store.branch
            store.branch = branches.begin(store, branches.at(store, moment), moment)
            store.served = [*store.served, [at.isoformat(), store.branch]]
            back_up(at + timedelta(hours=1))
        elif came_from is not None:
            store.branch, came_from = came_from, None
            store.served = [*store.served, [at.isoformat(), store.branch]]
    return made


@given(histories(), st.integers(1, 30), st.integers(0, 3), st.floats(0, 1))
def test_no_branch_goes_that_a_time_of_the_days_needs(made: History, days: int, count: int, part: float) -> None:
    gone = former(made.datastore, made.backups, NOW, days, count)
    left = [one for one in made.backups if one.branch not in gone]
    assert made.datastore.branch not in gone
    moment = NOW - part * timedelta(days=days)
    if made.base(moment, made.backups) is not None:
        base = made.base(moment, left)
        assert base is not None
        assert not made.logs(moment, base) & {branches.archive_name("abc", number) for number in gone}


@settings(max_examples=600)
@given(histories(), st.integers(1, 30), st.integers(0, 3))
def test_what_serves_keeps_what_leads_to_any_time_of_the_days(made: History, days: int, count: int) -> None:
    """Also to one of a branch that was taken back, which may have no backup of its own that is so old."""
    served = made.datastore.branch
    own = [one for one in made.backups if one.branch == served]
    gone = set(expiring(made.datastore, own, made.backups, NOW, days, count))
    assert gone <= set(removable(own, NOW, days, count))
    left = [one for one in made.backups if one.label not in gone]
    log, changes = branches.archive_name("abc", served), [datetime.fromisoformat(at) for at, _ in made.datastore.served]
    for moment in [NOW - timedelta(days=days), *(at + timedelta(minutes=30) for at in changes)]:
        if moment >= NOW - timedelta(days=days) and made.base(moment, made.backups) is not None:
            base = made.base(moment, left)
            assert base is not None
            assert not gone or base.branch == served or log not in made.logs(moment, base), "it goes with the oldest"


def test_a_restore_that_was_taken_back_keeps_the_backup_that_it_began_with() -> None:
    """Restored 10 days ago to 20 days ago, and taken back before the first backup of what was restored."""
    made = Datastore(short_id="abc", branch=0, branches=[], served=[], restoring=None)
    number = branches.begin(made, 0, NOW - timedelta(days=20))
    made.served = [[(NOW - timedelta(days=ago)).isoformat(), branch] for ago, branch in ((10, number), (9.99, 0))]
    own = [of(0, 21), of(0, 15), of(0, 1)]
    assert expiring(made, own, own, NOW, 14, 0) == []
    assert expiring(made, own, own, NOW, 9, 0) == ["0-21F"]
