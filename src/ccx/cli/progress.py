"""Following a job until it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ccx.cli.display import Display, for_stderr
from ccx.cli.exits import Failed, Unreachable
from ccx.cli.output import size
from ccx.errors import CcxError, NotFound

if TYPE_CHECKING:
    from ccx.cli.client import Api

Job = Mapping[str, Any]
"""As the API shows it: ``job_id``, ``type``, ``status``, ``error``, and ``steps`` with their times."""

POLL = 0.5
"""Seconds between two looks at a job."""
PATIENCE = 120.0
"""Seconds for which a control plane that restarts is waited for: jobs go on when it is back."""

_AWAY = (502, 503, 504)


def jobs_of(datastore: str) -> str:
    """Where the API has a datastore's jobs. They stay readable when it is deleted."""
    return f"/deployment/v2/data-stores/{datastore}/jobs"


def follow(api: Api, path: str, *, timeout: float | None = None, gone_is_done: bool = False) -> Job:
    """Waits until the job at ``path`` ends and returns it, showing its steps meanwhile.

    ``timeout`` in seconds, None waits for ever. ``gone_is_done``: a 404 is success (what the job belonged to is
    deleted). Raises :class:`Failed` with the job's reason when it errored, or did not end in time (it goes on).
    """
    until = None if timeout is None else time.monotonic() + timeout
    with for_stderr() as display:
        job: Job = {"steps": []}
        while True:
            try:
                job = _look(api, path, display, until)
            except CcxError as error:
                if error.status == 404 and gone_is_done:
                    return {**job, "status": "JOB_STATUS_FINISHED"}
                raise
            display.update(job)
            if ended(job):
                break
            if until is not None and time.monotonic() > until:
                raise Failed(
                    f"the job did not end within {timeout:.0f} s; it goes on",
                    remedy=f"Follow it: ccx job follow {_id(path)}",
                )
            time.sleep(POLL)
    if job["status"] == "JOB_STATUS_ERRORED":
        raise Failed(
            str(job.get("error") or "the job failed"),
            remedy=job.get("remedy") or f"See its steps: ccx job show {_id(path)}",
        )
    return job


def ended(job: Job) -> bool:
    """Whether the job is over, well or badly."""
    return job.get("status") in ("JOB_STATUS_FINISHED", "JOB_STATUS_ERRORED")


def newest(jobs: Sequence[Job], kind: str | None = None) -> Job:
    """The newest job (of a type), in a list that is newest first. Raises :class:`NotFound`."""
    for job in jobs:
        if kind in (None, job["type"]):
            return job
    raise NotFound("the datastore has no such job", remedy="See what was done to it: ccx job list DATASTORE")


def seconds_of(step: Mapping[str, Any]) -> float | None:
    """How long a step or job took; None while it runs."""
    if not step.get("started_at") or not step.get("finished_at"):
        return None
    span = datetime.fromisoformat(step["finished_at"]) - datetime.fromisoformat(step["started_at"])
    return span.total_seconds()


def doing(step: Mapping[str, Any]) -> str:
    """How far a running step is, ``1.2 GiB of 3.4 GiB, 45.0 MiB/s, copying``, and why its last try failed.

    Empty if it doesn't say.
    """
    told = step.get("progress") or {}
    words = []
    if told.get("unit") == "bytes" and told.get("done"):
        words.append(size(int(told["done"])) + (f" of {size(int(told['total']))}" if told.get("total") else ""))
        if told.get("rate"):
            words.append(f"{size(int(told['rate']))}/s")
    failed = f"tried again: {step['error']}" if step.get("error") else ""
    return ", ".join([*words, *(said for said in (told.get("note"), failed) if said)])


def duration(seconds: float | None) -> str:
    """Seconds for people: ``0.4 s``, ``12.0 s``, ``3 min 05 s``."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _look(api: Api, path: str, display: Display, until: float | None) -> Job:
    """The job, now. A control plane that is away is asked again for :data:`PATIENCE` seconds, not beyond ``until``."""
    patient_until: float | None = None
    while True:
        try:
            found: Job = api.get(path)
            return found
        except CcxError as error:
            if not isinstance(error, Unreachable) and error.status not in _AWAY:
                raise
            if patient_until is None:
                longest = time.monotonic() + PATIENCE
                patient_until = longest if until is None else min(until, longest)
                display.note("the control plane does not answer; waiting for it")
            elif time.monotonic() > patient_until:
                raise
        time.sleep(POLL)


def _id(path: str) -> str:
    return path.rpartition("/")[2]
