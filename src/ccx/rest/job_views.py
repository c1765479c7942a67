"""Jobs and their steps in the API's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from ccx.jobs import JobRecord, JobStatus, StepRecord, StepState
from ccx.rest.schema import When

_STATUS = {
    JobStatus.QUEUED: "JOB_STATUS_RUNNING",
    JobStatus.RUNNING: "JOB_STATUS_RUNNING",
    JobStatus.UNDOING: "JOB_STATUS_RUNNING",
    JobStatus.DONE: "JOB_STATUS_FINISHED",
    JobStatus.FAILED: "JOB_STATUS_ERRORED",
    JobStatus.CANCELLED: "JOB_STATUS_ERRORED",
}
"""Existing clients know these, and ask again for as long as it isn't one of the last two."""

_LONGEST = {
    "create_datastore": (10, 4), "delete_datastore": (4, 2), "replace_node": (14, 0), "apply_firewall": (1, 0),
    "apply_egress": (2, 0), "rotate_certificates": (1, 3), "probe_network": (8, 0),
    "backup_datastore": (10, 0), "restore_datastore": (15, 5), "drill_datastore": (18, 3),
    "restore_in_place": (20, 6), "undo_restore": (11, 4), "confirm_restore": (4, 2),
}  # fmt: skip
"""Steps of an operation: fixed ones, and for each node. Only for percentages: a step more makes them less smooth."""


class JobView(BaseModel):
    job_id: str
    type: str
    status: str
    """``JOB_STATUS_RUNNING`` (waiting and undoing too), ``JOB_STATUS_FINISHED`` or ``JOB_STATUS_ERRORED``."""
    state: str
    """``queued``, ``running``, ``undoing``, ``done``, ``failed`` or ``cancelled``."""
    created_at: When
    started_at: When | None
    finished_at: When | None
    error: str | None
    """Why it failed, in a user's words."""
    remedy: str | None


class StepView(BaseModel):
    name: str
    state: str
    """``begun``, ``done``, ``failed`` or ``undone``."""
    started_at: When
    finished_at: When | None
    attempts: int
    progress: dict[str, Any] | None
    """``{done, total, unit, note, rate, at}``, where the step reports it; ``rate``: units a second, of late."""
    error: str | None
    """Why it failed; while it is ``begun``, why its last try did: it is tried again."""


class JobWithSteps(JobView):
    progress: int
    """Percent; an estimate."""
    steps: list[StepView]
    """In the order of their beginning, those of an undo included."""


def summary(job: JobRecord) -> JobView:
    """A job without its steps."""
    return JobView(**_fields(job))


def with_steps(job: JobRecord, steps: Sequence[StepRecord], size: int) -> JobWithSteps:
    """A job with its steps; ``size`` is its datastore's."""
    views = [
        StepView(
            name=step.name,
            state=step.state.value,
            started_at=step.started,
            finished_at=step.finished,
            attempts=step.attempts,
            progress=step.progress,
            error=(step.error or {}).get("err"),
        )
        for step in steps
    ]
    return JobWithSteps(**_fields(job), progress=percent(job, steps, size), steps=views)


def waits_for(steps: Sequence[StepRecord]) -> str:
    """Why the first of the steps that are tried again has failed so far; empty where none is."""
    for step in steps:
        if step.state is StepState.BEGUN and step.error:
            return f"the step '{step.name}' is tried again: {step.error['err']}"
    return ""


def percent(job: JobRecord, steps: Sequence[StepRecord], size: int) -> int:
    """How much of a job is done. 100 only once it is."""
    if job.status is JobStatus.DONE:
        return 100
    fixed, per_node = _LONGEST.get(job.kind, (10, 0))
    done = sum(1 for step in steps if step.state is StepState.DONE)
    return min(99, 100 * done // (fixed + per_node * size))


def _fields(job: JobRecord) -> dict[str, Any]:
    error = job.error or {}
    return {
        "job_id": str(job.id),
        "type": job.label,
        "status": _STATUS[job.status],
        "state": job.status.value,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "error": error.get("err"),
        "remedy": error.get("remedy"),
    }
