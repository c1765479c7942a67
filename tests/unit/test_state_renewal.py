"""When certificates are replaced by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ccx.state import renewal
from ccx.state.verdict import CERTIFICATE_WARNING

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def test_the_first_that_expires_decides() -> None:
    far, near = NOW + timedelta(days=300), NOW + renewal.BEFORE - timedelta(seconds=1)

    assert not renewal.due([far, far], NOW)
    assert renewal.due([far, near], NOW)


def test_an_expired_one_is_due_too() -> None:
    assert renewal.due([NOW - timedelta(days=1)], NOW)


def test_a_failed_try_is_followed_by_another_only_after_a_pause() -> None:
    assert renewal.again([], NOW)
    assert not renewal.again([NOW - timedelta(days=9), NOW - renewal.PAUSE + timedelta(seconds=1)], NOW)
    assert renewal.again([NOW - renewal.PAUSE], NOW)


def test_there_is_time_for_many_tries_before_users_are_warned() -> None:
    assert (renewal.BEFORE - CERTIFICATE_WARNING) / renewal.PAUSE > 100
