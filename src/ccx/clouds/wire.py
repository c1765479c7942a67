"""Errors as they travel between a cloud's process of ours and its driver: by the name of their class."""

from __future__ import annotations

from typing import Any

from ccx import errors
from ccx.clouds import base
from ccx.errors import CcxError

_BY_NAME: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        base.Denied, base.NameTaken, base.NoCapacity, base.QuotaExceeded, base.StaleToken, base.Unavailable,
        base.Unconfirmed, errors.Conflict, errors.Invalid, errors.NotFound,
    )
}  # fmt: skip


class Injected(Exception):
    """A fault's error, by name: it may be one that only the caller's side knows."""

    def __init__(self, name: str) -> None:
        super().__init__(f"injected: {name}")
        self.name = name


def failure(error: Exception) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error."""
    name = error.name if isinstance(error, Injected) else type(error).__name__
    if isinstance(error, CcxError):
        shape = {"err": error.err, "field": error.field, "remedy": error.remedy}
        return error.status, {"error": name, **shape}
    return 503, {"error": name, "err": str(error), "field": None, "remedy": None}


def restore(body: dict[str, Any]) -> Exception:
    """The error that an answer stands for."""
    kind = _BY_NAME.get(body["error"], base.Unavailable)
    if issubclass(kind, CcxError):
        return kind(body["err"], field=body["field"], remedy=body["remedy"])
    return kind(body["err"])
