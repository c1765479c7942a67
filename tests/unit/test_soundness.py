"""What a corrupted or missing object means: which backups it makes useless, and until when the others reach."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ccx.cmon.backup import Findings
from ccx.cmon.backup.verified import findings
from ccx.runner.soundness import Judged, judge
from ccx.stores.models import Backup

FULL, INCREMENTAL, NEXT = "20261125-045726F", "20261125-045726F_20261125-045729I", "20261125-060000F"

SEGMENT = "17-1/0000000100000000/000000010000000000000006"

# Printed by pgBackRest 2.55.1 over a bundle of the full backup with one bit turned and another one deleted.
TORN = f"""\
P02   INFO: file missing '{FULL}/bundle/2'
P02   INFO: file missing '{FULL}/bundle/2'
P02   INFO: invalid checksum '{FULL}/bundle/1'
P01   INFO: invalid result {SEGMENT}-bfdbbc051fc07fef120b894b868893e4dac84e86.zst: [29] raised from local-1: zst error
                [FormatError] on 2 retries from 58-15070ms: zst error: [-20] Data corruption detected
P00 DETAIL: archiveId: 17-1, wal start: 000000010000000000000001, wal stop: 000000010000000000000004
P00 DETAIL: archiveId: 17-1, wal start: 000000010000000000000006, wal stop: 000000010000000000000007
P00   INFO: stanza: abc
            status: error
              archiveId: 17-1, total WAL checked: 6, total valid WAL: 5
                missing: 0, checksum invalid: 0, size invalid: 0, other: 1
              backup: {FULL}, status: invalid, total files checked: 969, total valid files: 944
                missing: 24, checksum invalid: 1, size invalid: 0, other: 0
              backup: {INCREMENTAL}, status: valid, total files checked: 970, total valid files: 970
                missing: 0, checksum invalid: 0, size invalid: 0, other: 0
              backup: {NEXT}, status: manifest missing, total files checked: 0, total valid files: 0
"""


def backup(label: str, first: int, last: int, *, parent: str | None = None, timeline: int = 1) -> Backup:
    return Backup(label=label, parent=parent, wal_first=segment(first, timeline), wal_last=segment(last, timeline))


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}"


def parts(*reach: tuple[int, int, int], damaged: int | None = None) -> Findings:
    """A log of these (timeline, first, last), and two backups looked at."""
    return Findings(
        checked=("1F", "1F_2I"),
        damaged={},
        log=tuple((segment(first, line), segment(last, line)) for line, first, last in reach),
        damaged_log={segment(damaged): "it is torn"} if damaged is not None else {},
    )


CHAIN = [backup("1F", 4, 5), backup("1F_2I", 10, 11, parent="1F")]


def test_each_object_that_is_wrong_is_named_once_with_its_backup() -> None:
    found = findings(TORN.splitlines())
    assert found.checked == (FULL, INCREMENTAL, NEXT)
    assert found.damaged == {
        FULL: f"{FULL}/bundle/2 is missing; {FULL}/bundle/1 has another checksum than when it was written",
        NEXT: f"{NEXT}/backup.manifest is missing",
    }
    assert list(found.damaged_log) == ["000000010000000000000006"]
    assert "can't be read" in found.damaged_log["000000010000000000000006"]
    assert found.log == ((segment(1), segment(4)), (segment(6), segment(7)))


def test_what_builds_on_a_damaged_one_is_useless_though_the_tool_calls_it_valid() -> None:
    judged = judge([backup(FULL, 4, 4), backup(INCREMENTAL, 7, 7, parent=FULL)], findings(TORN.splitlines()))
    assert judged[FULL].unusable == findings(TORN.splitlines()).damaged[FULL]
    assert judged[INCREMENTAL].unusable == f"it builds on {FULL}: {judged[FULL].unusable}"


def test_a_whole_log_says_nothing() -> None:
    assert judge(CHAIN, parts((1, 1, 300))) == {"1F": Judged(None), "1F_2I": Judged(None)}


def test_only_what_was_looked_at_is_judged() -> None:
    assert judge([*CHAIN, backup("3F", 400, 401)], parts((1, 1, 300))).keys() == {"1F", "1F_2I"}


@pytest.mark.parametrize("found", [parts((1, 1, 7), (1, 9, 20)), parts((1, 1, 20), damaged=8)])
def test_a_gap_ends_what_can_be_restored_from_those_before_it(found: Findings) -> None:
    assert judge(CHAIN, found) == {"1F": Judged(None, segment(7)), "1F_2I": Judged(None)}


@pytest.mark.parametrize("found", [parts((1, 1, 10), (1, 12, 20)), parts((1, 1, 20), damaged=11), parts((1, 1, 9))])
def test_a_gap_within_the_log_that_makes_a_backup_whole_makes_it_useless(found: Findings) -> None:
    judged = judge(CHAIN, found)
    assert judged["1F_2I"].unusable is not None
    assert "the log that it needs is not whole" in judged["1F_2I"].unusable
    assert judged["1F"].unusable is None


@pytest.mark.parametrize(
    "found", [parts((1, 1, 12), (2, 12, 20)), parts((1, 1, 11), (2, 12, 20)), parts((1, 1, 15), (2, 12, 20))]
)
def test_a_failover_is_no_gap(found: Findings) -> None:
    assert judge(CHAIN, found) == {"1F": Judged(None), "1F_2I": Judged(None)}


def test_what_was_written_by_a_primary_after_it_was_replaced_does_not_count() -> None:
    assert judge(CHAIN, parts((1, 1, 14), (2, 12, 20), damaged=13))["1F"] == Judged(None)


def test_a_new_timeline_that_begins_too_late_is_a_gap() -> None:
    assert judge(CHAIN, parts((1, 1, 12), (2, 15, 20)))["1F"] == Judged(None, segment(12))


def test_segments_are_counted_over_the_end_of_a_log_file() -> None:
    chain = [backup("1F", 254, 255)]
    assert judge(chain, parts((1, 250, 300)))["1F"] == Judged(None)
    assert judge(chain, parts((1, 250, 256), (1, 258, 300)))["1F"] == Judged(None, "000000010000000100000000")


def test_an_engine_may_say_itself_until_when_the_log_behind_a_backup_goes() -> None:
    known = [Backup(label="full"), Backup(label="incremental", parent="full")]
    told = Findings(checked=("full", "incremental"), damaged={}, until={"full": datetime(2026, 11, 28, tzinfo=UTC)})
    found = judge(known, told)
    assert (found["full"].log_ends, found["incremental"].log_ends) == ("full", None)
    assert {one.unusable for one in found.values()} == {None}
