"""``ccx backup``: a datastore's backups."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from ccx.cli import output, progress, resolve
from ccx.cli.datastore import Timeout, Wait, Wanted
from ccx.cli.options import DEFAULT, Common, Output
from ccx.errors import NotFound

app = App(name="backup", help="The backups of a datastore.", help_epilogue="")

_ALL = "/backup/api/v1/backups"


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
def list_(
    datastore: Annotated[str | None, Parameter(help="Name or uuid; also of a deleted one. Without: all.")] = None,
    /,
    *,
    common: Common = DEFAULT,
) -> None:
    """List complete backups, newest first; those of deleted datastores too.

    Try:
      ccx backup list
      ccx backup list orders
    """
    with common.api() as api:
        path = _path(_source(api, datastore)) if datastore else _ALL
        found = api.get(path, limit=100)["backups"]
    whose: list[output.Column] = [] if datastore else [("DATASTORE", "datastore_name"), ("IS", "datastore_status")]
    output.rows(
        found,
        [
            *whose,
            ("ID", "backup_id"),
            ("TYPE", "backup_type"),
            ("STATUS", "status"),
            ("STARTED", "started_at"),
            ("ENDED", "ended_at"),
            ("SIZE", lambda one: output.size(one["size"])),
            ("STORED", lambda one: output.size(one["stored"])),
        ],
        common.output,
        empty="There is no backup. Make one: ccx backup create",
    )


def _source(api: Any, wanted: str) -> str:
    """The uuid of the datastore called ``wanted``; of the newest deleted one of that name that has backups."""
    try:
        return resolve.identity(api, wanted)
    except NotFound:
        for backup in api.get(_ALL, limit=100)["backups"]:
            if backup["datastore_name"] == wanted or backup["datastore_uuid"] == wanted:
                return str(backup["datastore_uuid"])
        raise


def _path(uuid: str) -> str:
    return f"{_ALL}/{uuid}"
