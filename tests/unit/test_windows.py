"""Which backup a restore begins with, and which times and volumes are refused before anything is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from agent.ccx_agent.log_parts import Part

from ccx.errors import Invalid, NotFound
from ccx.runner import windows
from ccx.runner.windows import Window
from ccx.storage.base import StoredObject
from ccx.stores.models import Backup

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPEN = Window(NOON + timedelta(seconds=1), NOON + timedelta(hours=9))


def backup(label: str, hours: float, *, parent: str | None = None, good: bool = True, size: int = 0) -> Backup:
    ended = NOON + timedelta(hours=hours)
    return Backup(label=label, parent=parent, good=good, size=size, ended_at=ended)


CHAIN = [backup("1F", 0), backup("1F_2I", 1, parent="1F"), backup("3F", 6), backup("3F_4I", 7, parent="3F")]


@pytest.mark.parametrize(
    ("hours", "expected"), [(0.5, "1F"), (1, "1F"), (1.001, "1F_2I"), (5.9, "1F_2I"), (6.5, "3F"), (8, "3F_4I")]
)
def test_a_time_is_restored_from_the_newest_backup_that_ended_before_it(hours: float, expected: str) -> None:
    assert windows.choose(CHAIN, OPEN, None, NOON + timedelta(hours=hours)).label == expected


def test_without_a_time_it_is_the_newest() -> None:
    assert windows.choose(CHAIN, OPEN, None, None).label == "3F_4I"


def test_a_damaged_one_is_not_begun_with_nor_is_what_builds_on_it() -> None:
    damaged = [*CHAIN[:2], backup("3F", 6, good=False), CHAIN[3]]
    assert windows.choose(damaged, OPEN, None, None).label == "1F_2I"
    assert windows.choose(damaged, OPEN, "3F", None).label == "3F"  # but if it is asked for


def test_one_whose_parent_is_missing_is_not_begun_with() -> None:
    assert windows.choose([CHAIN[0], CHAIN[3]], OPEN, None, None).label == "1F"


@pytest.mark.parametrize("hours", [-1, 0, 9.5])
def test_a_time_outside_the_window_is_refused_with_the_window(hours: float) -> None:
    with pytest.raises(Invalid) as refused:
        windows.choose(CHAIN, OPEN, None, NOON + timedelta(hours=hours))
    assert refused.value.field == "pitr_stop_time"
    assert "2026-03-01T12:00:01Z to 2026-03-01T21:00:00Z" in (refused.value.remedy or "")


def test_a_time_before_the_named_backups_end_is_refused() -> None:
    with pytest.raises(Invalid, match="the backup 3F ended"):
        windows.choose(CHAIN, OPEN, "3F", NOON + timedelta(hours=2))


def test_a_time_in_the_window_that_no_backup_of_its_past_reaches_is_refused() -> None:
    """Backups of other branches make the window; what led to this one's beginning is no longer kept."""
    with pytest.raises(Invalid, match="no backup reaches to 2026-03-01T12:30:00Z") as refused:
        windows.choose([backup("3F", 6)], OPEN, None, NOON + timedelta(hours=0.5))
    assert (refused.value.field, refused.value.remedy) == (
        "pitr_stop_time", "Choose a time after 2026-03-01T18:00:01Z",
    )  # fmt: skip
    for to in (None, NOON + timedelta(hours=7)):
        with pytest.raises(NotFound, match="no backup that is whole leads there") as absent:
            windows.choose([backup("3F", 6, good=False)], OPEN, None, to)
        assert absent.value.remedy == "Make one: ccx backup create"


def test_an_unknown_backup_is_not_found() -> None:
    with pytest.raises(NotFound, match="there is no backup 9F"):
        windows.choose(CHAIN, OPEN, "9F", None)


def test_volumes_that_are_too_small_are_refused_with_the_size_that_is_needed() -> None:
    windows.check_room(backup("1F", 0, size=10 * 2**30), 13)
    with pytest.raises(Invalid) as refused:
        windows.check_room(backup("1F", 0, size=10 * 2**30), 12)
    assert (refused.value.field, refused.value.remedy) == ("volume_size", "Choose at least 13 GiB")


def torn(label: str, hours: float, why: str, *, parent: str | None = None) -> Backup:
    found = backup(label, hours, parent=parent)
    found.unusable = why
    return found


def test_what_verification_found_damaged_is_refused_with_the_reason_and_so_is_what_builds_on_it() -> None:
    found = [backup("0F", -6), torn("1F", 0, "bundle/1 is missing"), backup("1F_2I", 1, parent="1F")]
    assert windows.choose(found, OPEN, None, None).label == "0F"
    for label in ("1F", "1F_2I"):
        with pytest.raises(Invalid, match=r"bundle/1 is missing") as refused:
            windows.choose(found, OPEN, label, None)
        assert refused.value.field == "backup_id"


def test_a_time_behind_a_gap_of_the_log_is_refused_until_the_next_backup() -> None:
    before = backup("1F", 0)
    before.log_until = NOON + timedelta(hours=2)
    found = [before, backup("3F", 6)]
    assert windows.choose(found, OPEN, None, NOON + timedelta(hours=2)).label == "1F"
    assert windows.choose(found, OPEN, None, NOON + timedelta(hours=7)).label == "3F"
    with pytest.raises(Invalid, match="has a gap after 2026-03-01T14:00:00Z"):
        windows.choose(found, OPEN, None, NOON + timedelta(hours=5))


class Kept:
    """A store that has these."""

    def __init__(self, *found: StoredObject) -> None:
        self.found = found

    async def list(self, _prefix: str) -> list[StoredObject]:
        return list(self.found)

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        (f"0000000100000000/000000010000000000000007-{'a' * 40}.zst", NOON + timedelta(hours=2)),  # PostgreSQL's
        (Part(1, 0, 57, int(NOON.timestamp()) + 1, "a" * 40, "n1g1", "binlog.000007").name, NOON),
        (Part(1, 0, 57, int(NOON.timestamp()) + 1, "a" * 40, "n1g1", "binlog.000007", 3).name, NOON),
        (Part(1, 0, 57, int(NOON.timestamp()) + 10**6, "a" * 40, "n1g1", "b.7").name, NOON + timedelta(hours=2)),
        ("archive.info", datetime.min.replace(tzinfo=UTC)),
    ],
    ids=["postgresql", "mariadb", "behind-a-gap", "its-clock-is-ahead", "no-part"],
)
async def test_a_part_of_the_log_that_came_late_reaches_no_further_than_to_when_it_was_closed(
    monkeypatch: pytest.MonkeyPatch, name: str, reached: datetime
) -> None:
    """Restored to a time behind that, the datastore would lack what was written meanwhile, and nobody would know."""
    kept = Kept(StoredObject(f"ds/abc/archive/abc/{name}", 1, NOON + timedelta(hours=2)))
    monkeypatch.setattr(windows, "open_store", lambda *_, **__: kept)
    monkeypatch.setattr(windows.repositories, "cloud_of", lambda *_: None)
    monkeypatch.setattr(windows.repositories, "prefix", lambda _: "ds/abc/")
    assert await windows.archived(SimpleNamespace(settings=None), None) == reached  # type: ignore[arg-type]
