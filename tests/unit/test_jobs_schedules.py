"""When schedules fire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import Invalid
from ccx.jobs.schedules import next_after

# Hypothesis wants bounds without a zone.
moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
jitters = st.timedeltas(timedelta(0), timedelta(hours=3))
HOURLY = "17 * * * *"


@given(moments, jitters, st.text())
def test_the_next_firing_is_ahead_and_at_most_one_period_away(moment: datetime, jitter: timedelta, name: str) -> None:
    at = next_after(HOURLY, "UTC", jitter, name, moment)
    assert moment < at <= moment + timedelta(hours=1)


@given(moments, jitters, st.text())
def test_jitter_shifts_a_schedule_without_changing_its_period(moment: datetime, jitter: timedelta, name: str) -> None:
    first = next_after(HOURLY, "UTC", jitter, name, moment)
    assert next_after(HOURLY, "UTC", jitter, name, first) - first == timedelta(hours=1)


@given(moments, st.text())
def test_without_jitter_it_fires_on_the_minute(moment: datetime, name: str) -> None:
    at = next_after(HOURLY, "UTC", timedelta(0), name, moment)
    assert (at.minute, at.second, at.microsecond) == (17, 0, 0)


def test_the_expression_is_read_in_its_time_zone() -> None:
    winter = next_after("0 3 * * *", "Europe/Stockholm", timedelta(0), "a", datetime(2026, 1, 10, tzinfo=UTC))
    summer = next_after("0 3 * * *", "Europe/Stockholm", timedelta(0), "a", datetime(2026, 7, 10, tzinfo=UTC))
    assert (winter.astimezone(UTC).hour, summer.astimezone(UTC).hour) == (2, 1)


@pytest.mark.parametrize(
    ("cron", "zone"), [("61 * * * *", "UTC"), ("* * *", "UTC"), ("0 0 31 2 *", "UTC"), ("0 0 * * *", "Europe/Nowhere")]
)
def test_what_can_never_fire_is_refused_with_a_remedy(cron: str, zone: str) -> None:
    with pytest.raises(Invalid) as refused:
        next_after(cron, zone, timedelta(0), "a", datetime(2026, 1, 1, tzinfo=UTC))
    assert refused.value.remedy
