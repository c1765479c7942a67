"""``ccx job``: what is being done to a datastore, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from ccx.cli import output, progress, resolve
from ccx.cli.datastore import Timeout, Wanted
from ccx.cli.options import DEFAULT, Common, Output
from ccx.errors import Invalid

if TYPE_CHECKING:
    from ccx.cli.client import Api
    from ccx.cli.progress import Job

app = App(name="job", help="What is being done to a datastore, step by step.", help_epilogue="")

JobId = Annotated[str | None, Parameter(help="The job's id; else the newest one of --datastore.")]
Of = Annotated[str | None, Parameter(help="Whose job it is: name, uuid or part of it; once it is deleted, its uuid.")]

_FIELDS: list[output.Column] = [
    ("job", "job_id"),
    ("type", "type"),
    ("status", "status"),
    ("state", "state"),
    ("error", "error"),
    ("remedy", "remedy"),
    ("progress", lambda j: f"{j['progress']}%" if "progress" in j else ""),
    ("started", lambda j: output.age(j.get("started_at"))),
    ("ended", lambda j: output.age(j.get("finished_at"))),
    ("took", lambda j: progress.duration(progress.seconds_of(j))),
]
_COLUMNS: list[output.Column] = [
    ("JOB", "job_id"),
    ("TYPE", "type"),
    ("STATUS", "status"),
    ("STARTED", lambda j: output.age(j.get("started_at") or j.get("created_at"))),
    ("TOOK", lambda j: progress.duration(progress.seconds_of(j))),
    ("ERROR", "error"),
]
_STEPS: list[output.Column] = [
    ("STEP", "name"),
    ("STATE", "state"),
    ("TRIES", "attempts"),
    ("TOOK", lambda s: progress.duration(progress.seconds_of(s))),
    ("STARTED", lambda s: output.age(s.get("started_at"))),
    ("ERROR", "error"),
]


@app.command(name="list")
def list_(
    datastore: Wanted,
    /,
    *,
    limit: Annotated[int, Parameter(help="How many, newest first; at most 100.")] = 20,
    routine: Annotated[bool, Parameter(negative=(), help="Small ones too, such as firewall changes.")] = False,
    common: Common = DEFAULT,
) -> None:
    """List a datastore's jobs, newest first.

    Try:
      ccx job list orders
    """
    params: dict[str, int | str] = {"limit": limit, "offset": 0, **({"routine": "true"} if routine else {})}
    with common.api() as api:
        found = api.get(progress.jobs_of(resolve.identity(api, datastore)), **params).get("jobs") or []
    output.rows(found, _COLUMNS, common.output, empty="Nothing was done to it yet.")


@app.command
def show(job: JobId = None, /, *, datastore: Of = None, common: Common = DEFAULT) -> None:
    """Show a job, the time that each of its steps took, and why one failed or is tried again.

    Try:
      ccx job show --datastore orders
      ccx job show 0197f3a2-5c1b-7e7e-9b4c-6d1f0a2b3c4d --output json
    """
    with common.api() as api:
        _print(api.get(_path(api, job, datastore)), common.output)


@app.command
def follow(job: JobId = None, /, *, datastore: Of = None, timeout: Timeout = None, common: Common = DEFAULT) -> None:
    """Wait until a job ends, showing its steps. Ends with 1 if the job failed.

    Try:
      ccx job follow --datastore orders
      ccx job follow 0197f3a2-5c1b-7e7e-9b4c-6d1f0a2b3c4d --timeout 600
    """
    with common.api() as api:
        _print(progress.follow(api, _path(api, job, datastore), timeout=timeout), common.output)


def _path(api: Api, job: str | None, datastore: str | None) -> str:
    """Where the API has the job that is meant."""
    if datastore is not None:
        jobs = progress.jobs_of(resolve.identity(api, datastore))
        return f"{jobs}/{job or progress.newest(api.get(jobs, limit=1, offset=0)['jobs'])['job_id']}"
    if not job:
        raise Invalid("say which job", field="job", remedy="Give its id, or --datastore for the newest one")
    return f"/deployment/v2/jobs/{job}"


def _print(job: Job, form: Output) -> None:
    output.record(job, _FIELDS, form)
    if form is Output.TABLE and job.get("steps"):
        print()
        output.rows(job["steps"], _STEPS, form, empty="")
