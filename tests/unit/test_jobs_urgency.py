"""Which of several failures of steps side by side decides what becomes of the job."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.jobs.control import EndOfReplay, Interrupted, Lost, Nap, TryAgain
from ccx.jobs.failures import CANCELLED, StepFailed
from ccx.jobs.job import _most_urgent

NAP = Nap(timedelta(seconds=5), wakes=3)
BY_URGENCY = [
    Lost(), Interrupted(CANCELLED), StepFailed(CANCELLED), OSError("a defect"), TryAgain(CANCELLED), EndOfReplay(), NAP,
]  # fmt: skip


@pytest.mark.parametrize(("more", "less"), list(pairwise(BY_URGENCY)))
def test_the_jobs_loss_comes_before_its_end_that_before_a_retry_and_a_retry_before_a_nap(
    more: BaseException, less: BaseException
) -> None:
    for failures in permutations((more, less, NAP)):
        assert _most_urgent(list(failures)) is more


@given(st.lists(st.tuples(st.integers(1, 3600), st.integers(0, 9)), min_size=1, max_size=5))
def test_of_several_naps_the_shortest_is_taken_and_no_wake_is_missed(naps: list[tuple[int, int]]) -> None:
    nap = _most_urgent([Nap(timedelta(seconds=pause), wakes) for pause, wakes in naps])
    assert isinstance(nap, Nap)
    assert nap.pause == timedelta(seconds=min(pause for pause, _ in naps))
    assert nap.wakes == min(wakes for _, wakes in naps)
