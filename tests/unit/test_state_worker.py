"""Chores that fail are done again soon, and not an hour later."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import Transient
from ccx.state import expiring, forgetting, kept, worker


async def test_an_hourly_chore_that_failed_is_done_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "AGAIN", 0.01)
    done, tries = asyncio.Event(), 0

    async def chore() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Transient("the database is away")
        if tries == 2:
            raise KeyError("a defect")
        done.set()

    working = asyncio.create_task(worker._for_ever(forgetting.EVERY, "forget", chore))
    async with asyncio.timeout(10):
        await done.wait()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert tries == 3, "what succeeded waits for its hour"


@given(st.sampled_from([0.0, 1.0, expiring.EVERY, forgetting.EVERY, kept.EVERY]), st.integers(1, 10_000))
def test_the_pause_after_a_failure_grows_up_to_the_usual_one(usual: float, failures: int) -> None:
    first, now, then = (worker._until_next(usual, n) for n in (1, failures, failures + 1))
    assert first <= worker.AGAIN
    assert now <= then <= usual
    assert now < then or then == usual
    assert worker._until_next(usual, 0) == usual
