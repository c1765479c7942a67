"""Whether what was restored has the rows that were counted when it was backed up."""

from __future__ import annotations

from pathlib import Path

from agent.ccx_agent.backup_verify import telling

from ccx.runner.drills import compare

COUNTED = {"a.public.t": 1000, "a.public.u": 0, "b.public.t": 500_000}


def counts(*, exact: bool) -> dict[str, object]:
    return {"point": "ccx-1", "exact": exact, "rows": COUNTED}


def test_the_same_rows_are_right() -> None:
    assert compare(counts(exact=True), COUNTED) == []


def test_one_row_less_or_more_is_named_with_its_table() -> None:
    assert compare(counts(exact=True), {**COUNTED, "a.public.t": 999}) == ["a.public.t has 999 rows and had 1000"]
    assert compare(counts(exact=True), {**COUNTED, "a.public.u": 1}) == ["a.public.u has 1 rows and had 0"]


def test_a_missing_table_is_named_even_when_it_was_empty() -> None:
    assert compare(counts(exact=True), {"a.public.t": 1000, "b.public.t": 500_000}) == ["a.public.u is missing"]


def test_what_was_counted_while_many_wrote_may_differ_a_little_and_no_more() -> None:
    assert compare(counts(exact=False), {**COUNTED, "b.public.t": 503_000}) == []
    assert compare(counts(exact=False), {**COUNTED, "b.public.t": 400_000}) == [
        "b.public.t has 400000 rows and had 500000"
    ]
    assert compare(counts(exact=False), {**COUNTED, "a.public.t": 0}) == []
    assert compare(counts(exact=False), {name: 0 for name in COUNTED if name != "b.public.t"}) == [
        "b.public.t is missing"
    ]


def test_of_many_tables_a_few_are_named() -> None:
    many = {"point": "p", "exact": True, "rows": {f"a.public.t{n}": 1 for n in range(9)}}
    assert compare(many, {})[-1] == "and 4 more"


def test_a_node_tells_each_damaged_object_once(tmp_path: Path) -> None:
    printed = tmp_path / "verify"
    printed.write_text(
        "P01   INFO: file missing '1F/bundle/2'\nP02   INFO: file missing '1F/bundle/2'\n"
        "P00 DETAIL: statistics: {}\n            status: error\n"
        "P00 DETAIL: archiveId: 17-1, wal start: 000000010000000000000001, wal stop: 000000010000000000000004\n"
        "              backup: 1F, status: invalid, total files checked: 9, total valid files: 7\n"
    )
    told = telling(printed)
    assert [line for line in told if "bundle/2" in line] == ["INFO: file missing '1F/bundle/2'"]
    assert len(told) == 3
