"""A runner's sense of time."""

from __future__ import annotations

from ccx.jobs.pulse import Pulse


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_pulse(lease: float = 10.0) -> tuple[Pulse, Clock, list[str]]:
    clock, frozen = Clock(), list[str]()
    return Pulse(lease, lambda: frozen.append("frozen"), clock), clock, frozen


def test_a_process_that_runs_is_not_frozen() -> None:
    pulse, clock, frozen = a_pulse()
    for _ in range(10):
        clock.now += 9.9
        pulse.check()
    assert frozen == []


def test_standing_still_for_longer_than_the_lease_is_being_frozen() -> None:
    pulse, clock, frozen = a_pulse()
    clock.now += 10.1
    pulse.check()
    assert frozen == ["frozen"]


def test_nobody_is_judged_before_the_database_has_answered_for_a_whole_lease() -> None:
    pulse, clock, _ = a_pulse()
    assert not pulse.may_judge()
    pulse.answered()
    clock.now += 9.0
    pulse.answered()
    assert not pulse.may_judge()
    clock.now += 1.1
    assert pulse.may_judge()


def test_an_outage_starts_the_wait_anew() -> None:
    pulse, clock, _ = a_pulse()
    pulse.answered()
    clock.now += 11.0
    pulse.disconnected()
    assert not pulse.may_judge()
    pulse.answered()
    clock.now += 9.0
    assert not pulse.may_judge()
    clock.now += 1.1
    assert pulse.may_judge()


def test_a_frozen_runner_judges_nobody() -> None:
    pulse, clock, _ = a_pulse()
    pulse.answered()
    clock.now += 11.0
    pulse.check()
    assert not pulse.may_judge()
