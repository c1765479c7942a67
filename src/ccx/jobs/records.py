"""What others get to see of a job and its steps: plain values, detached from any session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ccx.jobs.models import JobStatus, Lane, StepState

Owner = tuple[str, UUID]
"""``("user", uuid)`` or ``("org", uuid)``."""


@dataclass(frozen=True)
class JobRecord:
    """A job as it stood when it was read.

    Attributes:
        key: what it serialises on; jobs of one key and lane never overlap.
        lane: ``main`` until it is claimed, and then its operation's.
        label: the kind in the API's words (``JOB_TYPE_DEPLOY_DATASTORE``).
        attempt: 1, and one more for each runner that died over it.
        flagged: why an operator should look, if something that can't be given up keeps failing.
        error: ``{err, field, remedy, step}`` of a failed or cancelled job.
    """

    id: UUID
    kind: str
    key: str
    label: str
    args: dict[str, Any]
    owner: Owner | None
    status: JobStatus
    lane: Lane
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    run_at: datetime
    deadline: datetime | None
    token: int | None
    runner: str | None
    attempt: int
    retries: int
    wakes: int
    cancel: bool
    pivoted: bool
    flagged: str | None
    error: dict[str, Any] | None
    result: Any

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> JobRecord:
        """From a row of ``jobs.job``."""
        owner = (row["owner_type"], row["owner_id"]) if row["owner_type"] is not None else None
        special: dict[str, Any] = {"owner": owner, "status": JobStatus(row["status"]), "lane": Lane(row["lane"])}
        return cls(**special, **{name: row[name] for name in cls.__dataclass_fields__ if name not in special})


@dataclass(frozen=True)
class StepRecord:
    """A step of a job.

    Attributes:
        progress: ``{done, total, unit, note, rate, at}``, where the step reports it.
        error: ``{err, field, remedy, step}`` of a failed step; of one that is begun, why its last try failed.
    """

    name: str
    number: int
    state: StepState
    undoable: bool
    token: int
    attempts: int
    started: datetime
    finished: datetime | None
    progress: dict[str, Any] | None
    result: Any
    error: dict[str, Any] | None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> StepRecord:
        """From a row of ``jobs.step``."""
        special: dict[str, Any] = {
            "state": StepState(row["state"]),
            "started": row["started_at"],
            "finished": row["finished_at"],
        }
        return cls(**special, **{name: row[name] for name in cls.__dataclass_fields__ if name not in special})
