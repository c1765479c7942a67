"""``ccx backup``: a datastore's backups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import App, Parameter

from ccx.cli import backup_proof, output, progress, resolve
from ccx.cli.backup_proof import ALL, every, path, source, status
from ccx.cli.datastore import Timeout, Wait, Wanted
from ccx.cli.options import DEFAULT, Common
from ccx.errors import Invalid

app = App(name="backup", help="The backups of a datastore.", help_epilogue="")


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
    """Back a datastore up now. The first backup is full, and begins to archive the log, every minute at least.

    Try:
      ccx backup create orders
      ccx backup create orders --full --no-wait
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        body = {"backup_type": "full" if full else "incremental"}
        job = api.post_once(path(uuid), body)["job_id"]
        if wait:
            progress.follow(api, f"{progress.jobs_of(uuid)}/{job}", timeout=timeout)
    said = "It is backed up." if wait else f"It is being backed up by the job {job}."
    output.done(said, {"job_id": job}, common.output)


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
        found = list(every(api, path(source(api, datastore)) if datastore else ALL))
    whose: list[output.Column] = [] if datastore else [("DATASTORE", "datastore_name"), ("IS", "datastore_status")]
    output.rows(
        found,
        [
            *whose,
            ("ID", "backup_id"),
            ("TYPE", "backup_type"),
            ("STATUS", status),
            ("STARTED", "started_at"),
            ("ENDED", "ended_at"),
            ("PROVED", lambda one: _proved(one["drill"])),
            ("ON", lambda one: one["node"] or ""),
            ("SIZE", lambda one: output.size(one["size"])),
            ("STORED", lambda one: output.size(one["stored"])),
        ],
        common.output,
        empty="There is no backup. Make one: ccx backup create",
    )


@app.command
def restore(
    datastore: Annotated[str, Parameter(help="Whose backups: name or uuid; a deleted one too.")],
    name: Annotated[str, Parameter(help="Of the new datastore; not with --in-place.")] = "",
    /,
    *,
    to: Annotated[
        str | None, Parameter(help="RFC 3339: what was committed until then, and nothing later. Without: all.")
    ] = None,
    to_lsn: Annotated[
        str | None,
        Parameter(
            help="Just before this place in the log: 0/3000148; MariaDB: transaction 0-10001-57; MySQL: UUID:57."
        ),
    ] = None,
    to_xid: Annotated[int | None, Parameter(help="Just before this transaction of PostgreSQL's.")] = None,
    in_place: Annotated[
        bool, Parameter(negative=(), help="The same datastore, under its names; what serves now is kept.")
    ] = False,
    backup: Annotated[str | None, Parameter(help="Begin with this one; without --to: restore it as it is.")] = None,
    nodes: Annotated[int | None, Parameter(help="How many; else as many as the other one has.")] = None,
    size: Annotated[str | None, Parameter(help="Instance size; else the other one's.")] = None,
    volume_size: Annotated[int | None, Parameter(help="GiB for each node; else the other one's.")] = None,
    allow: Annotated[
        list[str] | None, Parameter(negative=(), help="Address or CIDR that may connect; several times for several.")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Check everything, show the result, make nothing.")] = False,
    wait: Wait = True,
    timeout: Timeout = None,
    common: Common = DEFAULT,
) -> None:
    """Make a new datastore out of another one's backups and log; or restore it in place, under the same names.

    Try:
      ccx backup restore orders orders-again --dry-run
      ccx backup restore orders orders-before --to 2026-11-25T03:00:00Z --allow 192.0.2.0/24
      ccx backup restore orders orders-small --nodes 1
      ccx backup restore orders --in-place --to 2026-11-25T03:00:00Z
      ccx backup restore shop --in-place --to-lsn 0-10001-57
    """
    from ccx.cli import sources

    if in_place == bool(name):
        raise Invalid("it is restored either under a new name or in place", remedy="Say NAME, or --in-place")
    if in_place and allow:
        raise Invalid("in place, its firewall stays as it is", field="allow", remedy="Use: ccx firewall add")
    rules = sources.allowed(allow)
    wish = {
        "cluster_name": name or None, "pitr_stop_time": to, "pitr_stop_lsn": to_lsn, "pitr_stop_xid": to_xid,
        "backup_id": backup, "cluster_size": nodes, "instance_size": size, "volume_size": volume_size,
        "dry_run": dry_run, "in_place": in_place,
    }  # fmt: skip
    with common.api() as api:
        where = f"{path(source(api, datastore))}/restore"
        made = api.post_once(where, {field: value for field, value in wish.items() if value is not None})
        if uuid := made["uuid"]:
            output.say(f"{made['cluster_name']} is {uuid}")
            for rule in rules:
                api.post(f"/firewall/api/v1/firewall/{uuid}", {"source": rule, "description": ""})
            if wait:
                output.say("Waiting until it is restored; it goes on without this command too.")
                progress.follow(api, f"{progress.jobs_of(uuid)}/{made['job_id']}", timeout=timeout)
    output.record(
        made,
        [
            ("name", "cluster_name"),
            ("uuid", "uuid"),
            ("from backup", "backup_id"),
            ("until", lambda one: one["until"] or "the backup as it is"),
            ("possible", lambda one: f"{one['window_start']} to {one['window_end']}"),
            ("log from", "log_first"),
            ("data", lambda one: output.size(one["size"])),
            ("nodes", "cluster_size"),
            ("size", "instance_size"),
            ("disk", lambda one: f"{one['volume_size']} GiB"),
            ("old data", "old_data"),
        ],
        common.output,
    )


@app.command(name="confirm-restore")
def confirm_restore(datastore: Wanted, /, *, timeout: Timeout = None, common: Common = DEFAULT) -> None:
    """Remove what is kept of before a restore in place. There is no way back.

    Try:
      ccx backup confirm-restore orders
    """
    _settle(datastore, "confirm", timeout, common)


@app.command(name="undo-restore")
def undo_restore(datastore: Wanted, /, *, timeout: Timeout = None, common: Common = DEFAULT) -> None:
    """Go back to what was before a restore in place, and remove what was restored.

    Try:
      ccx backup undo-restore orders
    """
    _settle(datastore, "undo", timeout, common)


def _settle(datastore: str, how: str, timeout: float | None, common: Common) -> None:
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        job = api.post_once(f"{path(uuid)}/restore/{how}", {})["job_id"]
        progress.follow(api, f"{progress.jobs_of(uuid)}/{job}", timeout=timeout)
    output.done("Done.", {"job_id": job}, common.output)


@app.command
def drill(
    datastore: Annotated[str, Parameter(help="Name or uuid; a deleted one too.")],
    /,
    *,
    wait: Wait = True,
    timeout: Timeout = None,
    common: Common = DEFAULT,
) -> None:
    """Prove a datastore's newest backup: restore it into a throw-away node, check everything, remove that again.

    Try:
      ccx backup drill orders
    """
    with common.api() as api:
        uuid = source(api, datastore)
        begun = api.post_once(f"{path(uuid)}/drill", {})
        if wait:
            progress.follow(api, f"{progress.jobs_of(begun['drill_uuid'])}/{begun['job_id']}", timeout=timeout)
        outcome = (
            next((one["drill"] for one in every(api, path(uuid)) if one["backup_id"] == begun["backup_id"]), None) or {}
        )
    output.record(
        {**begun, "drill": outcome},
        [
            ("backup", "backup_id"),
            ("job", "job_id"),
            ("proved", lambda one: one["drill"].get("at", "")),
            ("it took", lambda one: progress.duration(one["drill"].get("seconds"))),
            ("databases", lambda one: one["drill"].get("databases")),
            ("tables", lambda one: one["drill"].get("tables")),
            ("rows compared", lambda one: one["drill"].get("rows")),
        ],
        common.output,
    )


def _proved(drill: Mapping[str, Any] | None) -> str:
    if drill is None:
        return ""
    return str(drill["at"])[:10] if drill["proved"] else f"no: {drill.get('err', '')}"


for _command in (backup_proof.show, backup_proof.verify, backup_proof.policy, backup_proof.delete):
    app.command(_command)
