"""Errors that a person can act on: what is wrong, in which field, and what to do about it.

The same text reaches the API (``err``, ``field``, ``remedy``), the CLI and the console.
"""

from __future__ import annotations

import re
from typing import Any

# Up to the last @: a password may hold / and @, though it should not. Rather too much is masked than too little.
_USERINFO = re.compile(r"(?<=//)\S+@")


def masked(text: str) -> str:
    """``text`` without the credentials of the URLs in it: a URL may stand, by mistake, wherever a value is quoted."""
    return _USERINFO.sub("***@", text)


class CcxError(Exception):
    """A refusal in a user's words.

    Attributes:
        err: what is wrong, one sentence without a trailing stop.
        field: the input's dotted path (``general.cluster_name``), where one input is to blame.
        remedy: what to do about it, one sentence.
        status: the HTTP status the API answers with; also the error shape's ``code``.
        detail: further members of the API's answer (for example ``{"job_id": …}`` of a conflict).
    """

    status: int = 422

    def __init__(
        self,
        err: str,
        *,
        field: str | None = None,
        remedy: str | None = None,
        status: int | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        self.err = masked(err)
        self.field = masked(field) if field else field
        self.remedy = masked(remedy) if remedy else remedy
        super().__init__(self.err)
        self.detail = detail or {}
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        what = self.err if not self.remedy else f"{self.err}. {self.remedy}"
        return where + what

    def shape(self) -> dict[str, Any]:
        """The error as the API answers it. ``code`` is a number: existing clients choke on anything else."""
        return {"code": self.status, "err": self.err, "field": self.field, "remedy": self.remedy, **self.detail}


class Invalid(CcxError):
    """An input that can't be accepted as it is (422)."""

    status = 422


class Unauthenticated(CcxError):
    """No credential, or one that is wrong or expired (401; never 403, or clients don't log in again)."""

    status = 401


class NotFound(CcxError):
    """Absent, or somebody else's: the two are not told apart (404)."""

    status = 404


class Conflict(CcxError):
    """Taken, or busy with something else (409)."""

    status = 409


class NoCapacity(CcxError):
    """The cloud can't hold what is asked for (422, found before anything is made)."""

    status = 422


class Transient(Exception):
    """Something outside did not answer this time; the same call may succeed later. Jobs retry it, ever more slowly."""
