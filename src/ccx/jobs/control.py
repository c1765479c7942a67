"""How a job leaves the operation's code before its end. Not errors: ``except Exception`` must not catch these."""

from __future__ import annotations

from datetime import timedelta

from ccx.jobs.failures import Error


class Control(BaseException):
    """Base of all these."""


class Lost(Control):
    """The job is somebody else's by now. Nothing more may be written."""


class Interrupted(Control):
    """Cancelled, or late: take back what was begun."""

    def __init__(self, error: Error) -> None:
        super().__init__(error["err"])
        self.error = error


class Nap(Control):
    """Go on later, or once it has been woken more than ``wakes`` times. The job keeps its key, but no task or lease."""

    def __init__(self, pause: timedelta, wakes: int) -> None:
        super().__init__(str(pause))
        self.pause = pause
        self.wakes = wakes


class TryAgain(Control):
    """Something failed that must not fail: it is tried again later, for ever."""

    def __init__(self, error: Error, *, age_s: float = 0.0) -> None:
        super().__init__(error["err"])
        self.error = error
        self.age_s = age_s


class EndOfReplay(Control):
    """The replay that collects undo actions has come to where the job had come."""
