"""Which errors pass by themselves, how long to wait for that, and what is said about those that don't."""

from __future__ import annotations

import random
import traceback
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError

from ccx.errors import CcxError, Transient

Error = dict[str, Any]
"""``{err, field, remedy, step}``, in a user's words."""

CANCELLED: Error = {"err": "the job was cancelled", "field": None, "remedy": None, "step": None}

MAX_PAUSE_S = 60.0
FLAG_AFTER_TRIES = 5
FLAG_AFTER_S = 300.0


class StepFailed(CcxError):
    """A step failed, now or in an earlier run of the job. It carries what is told to the user."""

    def __init__(self, error: Error) -> None:
        super().__init__(error["err"], field=error.get("field"), remedy=error.get("remedy"))
        self.step: str | None = error.get("step")
        self.error = error


def is_database_trouble(exc: BaseException) -> bool:
    """Whether the metadata database went away, or asks to try the same again (deadlock, serialisation)."""
    if isinstance(exc, DBAPIError):
        return exc.connection_invalidated or isinstance(exc.orig, psycopg.OperationalError)
    return isinstance(exc, psycopg.OperationalError)


def is_transient(exc: BaseException) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(exc, Transient | TimeoutError | ConnectionError) or is_database_trouble(exc)


def pause_s(tries: int, first: float = 0.5, longest: float = MAX_PAUSE_S) -> float:
    """How long to wait after that many failures in a row (from 1): doubling, with a little jitter."""
    return min(first * 2.0 ** min(tries - 1, 30), longest) * random.uniform(0.8, 1.0)  # noqa: S311 - not a secret


def describe(exc: BaseException, step: str | None) -> Error:
    """What a user is told. Only errors that were written for users speak for themselves: others may carry anything."""
    if isinstance(exc, StepFailed):
        return exc.error
    if isinstance(exc, CcxError):
        return {"err": exc.err, "field": exc.field, "remedy": exc.remedy, "step": step}
    where = f"the step '{step}'" if step else "the operation"
    if isinstance(exc, TimeoutError):
        said = f"{where} did not finish in time"
    elif isinstance(exc, Transient):
        said = f"{where} got no answer: {exc}" if str(exc) else f"{where} got no answer"
    elif is_database_trouble(exc):
        said = f"{where} could not reach the metadata database"
    else:
        said = f"{where} failed unexpectedly"
    return {"err": said, "field": None, "remedy": "Try again; the runner's log has the details", "step": step}


def traceback_of(exc: BaseException) -> str:
    """For the log. Made here, so that no renderer adds local variables, which may be secrets."""
    return "".join(traceback.format_exception(exc))


def late(step: str | None) -> Error:
    """What a user is told of a job that missed its deadline."""
    at = f" before the step '{step}'" if step else ""
    return {
        "err": f"the job did not finish in time; it was stopped{at}",
        "field": None,
        "remedy": "Try again; the job's steps show what took long",
        "step": step,
    }
