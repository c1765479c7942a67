"""``ccx backup``: a datastore's backups."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from ccx.cli import output, progress, resolve
from ccx.cli.datastore import Timeout, Wait, Wanted
from ccx.cli.options import DEFAULT, Common, Output

app = App(name="backup", help="The backups of a datastore.", help_epilogue="")

_PATIENCE_S = 90.0


@app.command
def create(
    datastore: Wanted,
    /,
    *,
    full: Annotated[
        bool, Parameter(negative=(), help="All of it, not only what changed since the newest one.")
    ] = False,
    wait: Wait = True,
    timeout: Timeout = None,
    common: Common = DEFAULT,
) -> None:
    """Back a datastore up now. The first backup is full, and begins to archive the log every 60 seconds.

    Try:
      ccx backup create orders
      ccx backup create orders --full --no-wait
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        body = {"backup_type": "full" if full else "incremental"}
        job = api.post_once(_path(uuid), body)["job_id"]
        if wait:
            progress.follow(api, f"{progress.jobs_of(uuid)}/{job}", timeout=timeout)
    if common.output is not Output.TABLE:
        output.document({"job_id": job}, common.output)
    else:
        output.say("It is backed up." if wait else f"It is being backed up by the job {job}.")


@app.command(name="list")
def list_(datastore: Wanted, /, *, common: Common = DEFAULT) -> None:
    """List a datastore's complete backups, newest first.

    Try:
      ccx backup list orders
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        found = api.call("GET", _path(uuid), within=_PATIENCE_S)["backups"]
    output.rows(
        found,
        [
            ("ID", "backup_id"),
            ("TYPE", "backup_type"),
            ("STATUS", "status"),
            ("STARTED", "started_at"),
            ("ENDED", "ended_at"),
            ("SIZE", lambda one: output.size(one["size"])),
            ("STORED", lambda one: output.size(one["stored"])),
        ],
        common.output,
        empty="There is no backup of it yet. Make one: ccx backup create",
    )


def _path(uuid: str) -> str:
    return f"/backup/api/v1/backups/{uuid}"
