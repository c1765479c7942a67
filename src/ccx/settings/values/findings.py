"""What is wrong, or odd, with settings that somebody wrote: each with its field, its file and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

from ccx.errors import Invalid, masked


@dataclass(frozen=True)
class Finding:
    """Something to tell the operator; never quotes a value that may be a secret."""

    field: str
    err: str
    remedy: str

    def __post_init__(self) -> None:
        for name in ("field", "err", "remedy"):
            object.__setattr__(self, name, masked(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.field}: {self.err}. {self.remedy}"


class Findings:
    """Collects them. A refusal ends the reading, unless it is ``lenient``: then it is a warning like the others."""

    def __init__(self, *, lenient: bool = False) -> None:
        self.warnings: list[Finding] = []
        self._lenient = lenient

    def refuse(self, field: str, err: str, remedy: str) -> None:
        """Raises Invalid, or warns and returns: the caller goes on with what is safest to assume."""
        if not self._lenient:
            raise Invalid(err, field=field, remedy=remedy)
        self.warn(field, err, remedy)

    def warn(self, field: str, err: str, remedy: str) -> None:
        self.warnings.append(Finding(field, err, remedy))
