"""What a claim recalls of the job's earlier runs."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.db import utc_now
from ccx.jobs.control import EndOfReplay
from ccx.jobs.failures import StepFailed
from ccx.jobs.memory import Memory, Undo
from ccx.jobs.models import StepState
from ccx.jobs.records import StepRecord


def stored(name: str, number: int, state: StepState, *, undoable: bool = False, **more: Any) -> StepRecord:
    finished = utc_now() if state in (StepState.DONE, StepState.FAILED) else None
    values = {"finished": finished, "result": None, "error": None, **more}
    return StepRecord(name, number, state, undoable, 1, 1, utc_now(), progress=None, **values)


def test_a_done_step_is_recalled_with_its_result_and_a_new_one_is_not() -> None:
    memory = Memory([stored("one", 1, StepState.DONE, result={"a": 1})])
    assert memory.recall("one") == (True, {"a": 1})
    assert memory.recall("two") == (False, None)


def test_a_begun_step_runs_again_in_its_old_place() -> None:
    memory = Memory([stored("one", 4, StepState.BEGUN)])
    assert memory.recall("one") == (False, None)
    assert memory.number("one") == 4
    assert memory.number("two") == 5


def test_a_failed_step_fails_again_as_it_did() -> None:
    error = {"err": "full", "field": None, "remedy": None, "step": "one"}
    with pytest.raises(StepFailed, match="full"):
        Memory([stored("one", 1, StepState.FAILED, error=error)]).recall("one")


def test_a_name_is_used_once() -> None:
    memory = Memory([])
    memory.recall("one")
    with pytest.raises(ValueError, match="two steps"):
        memory.recall("one")


def test_a_replay_collects_undo_up_to_the_begun_step_and_goes_no_further() -> None:
    memory = Memory(
        [stored("one", 1, StepState.DONE, undoable=True), stored("two", 2, StepState.BEGUN, undoable=True)], replay=True
    )
    assert memory.missing_undos() == ["one", "two"]
    memory.recall("one", Undo("one"))
    with pytest.raises(EndOfReplay):
        memory.recall("two", Undo("two"))
    assert {name: undo.number for name, undo in memory.undos.items()} == {"one": 1, "two": 2}
    assert memory.missing_undos() == []


def test_a_replay_passes_a_step_that_a_newer_version_inserted_while_undo_is_still_owed() -> None:
    memory = Memory([stored("old", 1, StepState.DONE, undoable=True)], replay=True)
    assert memory.recall("inserted", Undo("inserted")) == (True, None)
    memory.recall("old", Undo("old"))
    with pytest.raises(EndOfReplay):
        memory.recall("next")
    assert set(memory.undos) == {"old"}


def test_what_is_undone_is_not_undone_again_but_still_recalled() -> None:
    done = stored("one", 1, StepState.UNDONE, undoable=True, finished=utc_now(), result=7)
    memory = Memory([done], replay=True)
    assert memory.recall("one", Undo("one")) == (True, 7)
    assert memory.undos == {}
    assert memory.missing_undos() == []
