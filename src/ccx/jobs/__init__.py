"""Durable jobs on PostgreSQL: claim, lease, steps, undo, schedules. Knows nothing of datastores.

``docs/develop/jobs.md`` shows how to write an operation.
"""

from ccx.jobs.failures import StepFailed
from ccx.jobs.history import active, flagged, get, history, last_token, prune, steps
from ccx.jobs.job import Job
from ccx.jobs.memory import TransactionBody
from ccx.jobs.models import JobStatus, Lane, StepState
from ccx.jobs.queue import cancel, cancel_key, enqueue, hold, next_token, outrun, release, wake
from ccx.jobs.records import JobRecord, Owner, StepRecord
from ccx.jobs.registry import Handler, operation
from ccx.jobs.runner import Runner
from ccx.jobs.step import Step

__all__ = [
    "Handler", "Job", "JobRecord", "JobStatus", "Lane", "Owner", "Runner", "Step", "StepFailed", "StepRecord",
    "StepState", "TransactionBody", "active", "cancel", "cancel_key", "enqueue", "flagged", "get", "history", "hold",
    "last_token", "next_token", "operation", "outrun", "prune", "release", "steps", "wake",
]  # fmt: skip
