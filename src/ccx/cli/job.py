"""``ccx job``: what is being done to a datastore, step by step."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from ccx.cli import output, progress, resolve
from ccx.cli.datastore import Timeout, Wanted
from ccx.cli.options import DEFAULT, Common, Output

app = App(name="job", help="What is being done to a datastore, step by step.", help_epilogue="")

JobId = Annotated[str, Parameter(help="The job's id, as ccx job list shows it.")]

_FIELDS: list[output.Column] = [
    ("job", "job_id"),
    ("type", "type"),
    ("status", "status"),
    ("error", "error"),
    ("datastore", "datastore_uuid"),
    ("started", lambda j: output.age(j.get("started_at") or j.get("created_at"))),
    ("ended", lambda j: output.age(j.get("finished_at"))),
]


@app.command(name="list")
def list_(
    datastore: Wanted,
    /,
    *,
    limit: Annotated[int, Parameter(help="How many, newest first.")] = 20,
    common: Common = DEFAULT,
) -> None:
    """List a datastore's jobs, newest first.

    Try:
      ccx job list orders
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        jobs = api.get(f"/deployment/v2/data-stores/{uuid}/jobs", limit=limit, offset=0).get("jobs") or []
    output.rows(
        jobs,
        [
            ("JOB", "job_id"),
            ("TYPE", "type"),
            ("STATUS", "status"),
            ("STARTED", lambda j: output.age(j.get("started_at") or j.get("created_at"))),
            ("ERROR", "error"),
        ],
        common.output,
        empty="Nothing was done to it yet.",
    )


@app.command
def show(job: JobId, /, *, common: Common = DEFAULT) -> None:
    """Show a job and the time that each of its steps took.

    Try:
      ccx job show 0197f3a2-5c1b-7e7e-9b4c-6d1f0a2b3c4d
    """
    with common.api() as api:
        _print(api.get(path(job)), common.output)


@app.command
def follow(job: JobId, /, *, timeout: Timeout = None, common: Common = DEFAULT) -> None:
    """Wait until a job ends, showing its steps. Ends with 1 if the job failed.

    Try:
      ccx job follow 0197f3a2-5c1b-7e7e-9b4c-6d1f0a2b3c4d --timeout 600
    """
    with common.api() as api:
        _print(progress.follow(api, path(job), timeout=timeout), common.output)


def path(job: str) -> str:
    """Where the API has one job, with its steps."""
    return f"/deployment/v2/jobs/{job}"


def _print(job: Any, form: Output) -> None:
    output.record(job, _FIELDS, form)
    if form is Output.TABLE and job.get("steps"):
        print()
        output.rows(
            job["steps"],
            [
                ("STEP", "name"),
                ("TIME", lambda s: progress.duration(progress.seconds_of(s))),
                ("STARTED", lambda s: output.age(s.get("started_at"))),
            ],
            form,
            empty="",
        )
