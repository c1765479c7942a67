"""How fast a step is, as its progress tells."""

from __future__ import annotations

import pytest

from ccx.jobs.step import SPEED_OVER_S, Speed


def test_a_speed_needs_two_readings_that_are_a_second_apart() -> None:
    speed = Speed()
    assert [speed.after(0, 10), speed.after(50, 10.5)] == [None, None]
    assert speed.after(200, 12) == 100


def test_a_speed_is_that_of_the_last_seconds() -> None:
    speed = Speed()
    for second in range(60):
        last = speed.after(1000 * min(second, 30) + 10 * max(0, second - 30), second)
    assert last == pytest.approx(10, abs=0.1)
    assert speed.after(1000 * 30 + 10 * 29, 60 + SPEED_OVER_S) == 0


def test_a_new_try_begins_anew() -> None:
    speed = Speed()
    assert [speed.after(0, 0), speed.after(500, 1)] == [None, 500]
    assert [speed.after(0, 2), speed.after(70, 3)] == [None, 70]
