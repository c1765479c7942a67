"""The branches of a datastore's history: which one served when, and how recovery gets from one to the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.unit.test_cmon_backup import repository

from ccx.cmon.backup import Origin, restoring
from ccx.runner import branches
from ccx.stores.models import Datastore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def restored() -> Datastore:
    """Restored to noon an hour later, from a log on its first timeline."""
    made = Datastore(short_id="abc", branch=0, branches=[], served=[])
    number = branches.begin(made, 0, NOON)
    branches.began(made, number, 2)
    made.branch, made.served = number, [[(NOON + timedelta(hours=1)).isoformat(), number]]
    return made


def test_a_time_belongs_to_the_branch_that_served_then() -> None:
    made = restored()
    assert [branches.at(made, NOON + timedelta(hours=h)) for h in (0.9, 1, 2)] == [0, 1, 1]
    made.served = [*made.served, [(NOON + timedelta(hours=3)).isoformat(), 0]]
    assert branches.at(made, NOON + timedelta(hours=4)) == 0


def test_a_branch_has_of_its_parent_what_was_before_it_and_a_number_of_its_own() -> None:
    made = restored()
    assert [(s.branch, s.until) for s in branches.past(made, 1)] == [(1, None), (0, NOON)]
    assert branches.begin(made, 0, NOON) == 2


def test_recovery_reads_each_timeline_from_the_branch_that_it_is_of() -> None:
    made = restored()
    assert branches.path(made, 1, 1) == [(0, "abc-1")]
    assert branches.path(made, 0, 1) == [(0, "abc"), (2, "abc-1")]
    script = restoring.get_script(Origin(repository(), "abc", "1F", path=tuple(branches.path(made, 0, 1))))
    assert "stanza=abc\n" in script
    assert '[ "$timeline" -ge 2 ] && stanza=abc-1' in script


def test_the_owner_is_told_why_the_data_of_before_are_there_and_until_when() -> None:
    made = restored()
    assert branches.in_words(made) == ""
    made.restoring = {"branch": 1, "of": 0, "state": branches.PREPARING}
    assert "what was there before serves until the restored data take over" in branches.in_words(made)
    made.restoring = {**made.restoring, "state": branches.KEPT, "kept_until": (NOON + timedelta(days=3)).isoformat()}
    assert "kept, turned off, until 2026-03-04 12:00 UTC" in branches.in_words(made)
    made.branch = 0  # taken back: what is left of the restored one is removed
    assert branches.in_words(made) == ""
