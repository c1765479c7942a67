"""Exit codes: what a script can tell from how ``ccx`` ended."""

from __future__ import annotations

from enum import IntEnum

from ccx.errors import CcxError


class Exit(IntEnum):
    """The exit codes, the same for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAUTHENTICATED = 4
    CONFLICT = 5
    UNREACHABLE = 6
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done",
    Exit.FAILED: "the operation failed",
    Exit.USAGE: "bad usage or input",
    Exit.NOT_FOUND: "no such thing, or somebody else's",
    Exit.UNAUTHENTICATED: "not logged in, or no longer",
    Exit.CONFLICT: "taken, or busy with another operation",
    Exit.UNREACHABLE: "the control plane does not answer",
    Exit.INTERRUPTED: "interrupted",
}


class Unreachable(CcxError):
    """The control plane did not answer: no route, refused, timed out, or its certificate is not trusted."""

    status = 503


class Failed(CcxError):
    """What was asked for was tried and did not succeed."""

    status = 500


_BY_STATUS = {401: Exit.UNAUTHENTICATED, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT}


def code_of(error: CcxError) -> Exit:
    """The exit code that an error ends the command with."""
    if isinstance(error, Unreachable):
        return Exit.UNREACHABLE
    if error.status in _BY_STATUS:
        return _BY_STATUS[error.status]
    return Exit.USAGE if error.status in (400, 402, 413, 415, 422) else Exit.FAILED


def table() -> str:
    """The codes and their meaning, one a line, for help and documentation."""
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANING.items())
