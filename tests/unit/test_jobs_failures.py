"""What passes by itself, how long is waited for it, and what is said about the rest."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError, OperationalError

from ccx.errors import Invalid, Transient
from ccx.jobs.failures import StepFailed, describe, is_database_trouble, is_transient, pause_s


@given(st.integers(1, 10_000), st.floats(0.01, 5), st.floats(5, 100))
def test_pauses_are_never_longer_than_the_longest_and_never_nothing(tries: int, first: float, longest: float) -> None:
    assert 0 < pause_s(tries, first, longest) <= longest


@given(st.integers(1, 6))
def test_pauses_grow(tries: int) -> None:
    assert pause_s(tries + 2) > pause_s(tries)


@pytest.mark.parametrize(
    ("exc", "transient", "trouble"),
    [
        (Transient("away"), True, False),
        (TimeoutError(), True, False),
        (ConnectionRefusedError(), True, False),
        (psycopg.OperationalError(), True, True),
        (OperationalError("select", {}, psycopg.errors.AdminShutdown()), True, True),
        (OperationalError("select", {}, psycopg.errors.DeadlockDetected()), True, True),
        (IntegrityError("insert", {}, psycopg.errors.UniqueViolation()), False, False),
        (Invalid("no"), False, False),
        (ValueError(), False, False),
    ],
)
def test_errors_are_told_apart(exc: Exception, transient: bool, trouble: bool) -> None:
    assert (is_transient(exc), is_database_trouble(exc)) == (transient, trouble)


@given(st.text(min_size=12))
def test_what_was_not_written_for_users_is_not_shown_to_them(secret: str) -> None:
    said = describe(RuntimeError(secret), "call")
    assert secret not in said["err"]
    assert said["step"] == "call"


def test_a_users_error_speaks_for_itself_and_keeps_the_step_it_came_from() -> None:
    error = describe(Invalid("no such size", field="size", remedy="Choose another"), "servers")
    assert error == {"err": "no such size", "field": "size", "remedy": "Choose another", "step": "servers"}
    failed = StepFailed(error)
    assert (failed.err, failed.field, failed.remedy, failed.step) == tuple(error.values())
    assert describe(failed, "another") == error
