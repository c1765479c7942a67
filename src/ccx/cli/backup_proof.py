"""``ccx backup``: whether backups are good, how long they are kept, and their end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from ccx.cli import output, progress, resolve
from ccx.cli.confirming import typed
from ccx.cli.datastore import Timeout, Wait, Wanted
from ccx.cli.exits import Exit
from ccx.cli.options import DEFAULT, Common
from ccx.errors import Invalid, NotFound

ALL = "/backup/api/v1/backups"
_PAGE = 100
_PROOF, _POLICIES = "/backup/api/v1/proof", "/backup/api/v1/policies"

Whose = Annotated[str, Parameter(help="Name or uuid; a deleted one too.")]

_FIELDS: list[output.Column] = [
    ("backups", "backups"),
    ("usable", "usable"),
    ("newest", "newest_at"),
    ("verified", "verified_at"),
    ("proved backup", "proved_backup_id"),
    ("proved", "proved_at"),
    ("its age", lambda one: _since(one["proved_at"])),
    ("recovery took", lambda one: progress.duration(one["recovery_seconds"])),
    ("last drill failed", "drill_err"),
    ("recovery point", "recovery_point"),
    ("last backup failed", "failed_err"),
    ("tried again", "again_at"),
    ("kept until", "kept_until"),
]

_KEPT: list[output.Column] = [
    ("full backups", lambda one: one["full"] or "never"),
    ("incremental ones", lambda one: one["incremental"] or "never"),
    ("verification", lambda one: one["verify"] or "never"),
    ("restore drills", lambda one: one["drill"] or "never"),
    ("kept", lambda one: f"{one['keep_days']} days, and the newest {one['keep_full']} full ones"),
    (
        "after deletion",
        lambda one: f"{one['keep_deleted_days']} days" if one["keep_deleted_days"] else "for ever",
    ),
    ("of its own", "own"),
]


def _since(at: str | None) -> str:
    if at is None:
        return "never proved: ccx backup drill"
    hours = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds() / 3600
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} h" if hours >= 2 else f"{hours * 60:.0f} min"


def show(datastore: Whose, /, *, common: Common = DEFAULT) -> None:
    """Show what is proved of a datastore's backups, how much could be lost, and how long a recovery takes.

    Try:
      ccx backup show orders
    """
    with common.api() as api:
        found = api.get(f"{_PROOF}/{source(api, datastore)}")
    output.record(found, _FIELDS, common.output)


def verify(datastore: Wanted, /, *, wait: Wait = True, timeout: Timeout = None, common: Common = DEFAULT) -> int:
    """Read all of a datastore's backups and log in the object store, and name what is damaged.

    Ends with 1 if a backup can't be restored, or the log has a gap. A new full backup then begins by itself.

    Try:
      ccx backup verify orders
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        job = api.post_once(f"{path(uuid)}/verify", {})
        if wait:
            progress.follow(api, f"{progress.jobs_of(uuid)}/{job['job_id']}", timeout=timeout)
        found = list(every(api, path(uuid)))
    if not wait:
        output.record(job, [("job", "job_id")], common.output)
        return Exit.OK
    output.rows(
        found,
        [
            ("ID", "backup_id"),
            ("STATUS", "status"),
            ("READ", "verified_at"),
            ("LOG ENDS", "log_until"),
            ("WHAT IS WRONG", "err"),
        ],
        common.output,
        empty="There is no backup. Make one: ccx backup create",
    )
    return Exit.FAILED if any(one["err"] or one["log_until"] for one in found) else Exit.OK


def policy(
    datastore: Wanted,
    /,
    *,
    full: Annotated[str | None, Parameter(help="Cron, UTC, of full backups; empty: never.")] = None,
    incremental: Annotated[str | None, Parameter(help="Cron of incremental ones.")] = None,
    verify: Annotated[str | None, Parameter(help="Cron of reading everything.")] = None,
    drill: Annotated[str | None, Parameter(help="Cron of restoring the newest one.")] = None,
    keep_days: Annotated[
        int | None,
        Parameter(help="Days to any time of which it can be restored; 0: only --keep-full says what is kept."),
    ] = None,
    keep_full: Annotated[int | None, Parameter(help="Usable full backups that stay however old.")] = None,
    keep_deleted_days: Annotated[int | None, Parameter(help="Days after its deletion; 0: for ever.")] = None,
    reset: Annotated[bool, Parameter(negative=(), help="As the installation's settings have it.")] = False,
    common: Common = DEFAULT,
) -> None:
    """Show, or change, when a datastore is backed up and proved by itself, and how long that is kept.

    Try:
      ccx backup policy orders
      ccx backup policy orders --keep-days 30 --keep-full 4 --drill "0 5 * * *"
      ccx backup policy orders --reset
    """
    wish = {
        "full": full, "incremental": incremental, "verify": verify, "drill": drill, "keep_days": keep_days,
        "keep_full": keep_full, "keep_deleted_days": keep_deleted_days,
    }  # fmt: skip
    changed = {name: value for name, value in wish.items() if value is not None}
    with common.api() as api:
        where = f"{_POLICIES}/{resolve.identity(api, datastore)}"
        found = api.get(where)
        if changed or reset:
            own = {} if reset else {name: found[name] for name in found["own"]}
            found = api.call("PUT", where, body={**own, **changed})
    output.record(found, _KEPT, common.output)


def delete(
    datastore: Annotated[str, Parameter(help="Name or uuid of a deleted datastore.")],
    /,
    *,
    confirm: Annotated[str, Parameter(help="Its name, instead of being asked for it.")] = "",
    common: Common = DEFAULT,
) -> None:
    """Remove all backups of a deleted datastore before their time. Nothing brings them back.

    Try:
      ccx backup delete orders
      ccx backup delete orders --confirm orders
    """
    with common.api() as api:
        uuid = source(api, datastore)
        name = next((one["datastore_name"] for one in every(api, ALL) if one["datastore_uuid"] == uuid), datastore)
        given = confirm or asked(name, [destroyed(api, uuid)])
        removed = api.call("DELETE", path(uuid), params={"confirm": given})
    output.record(removed, [("removed", "removed_at")], common.output)


def destroyed(api: Any, uuid: str) -> str:
    """What goes with a datastore's backups, for a person who is to confirm it."""
    found = list(every(api, path(uuid)))
    if not found:
        return "It has no backups."
    stored = output.size(sum(one["stored"] for one in found))
    span = f"from {found[-1]['ended_at']} to {found[0]['ended_at']}"
    what = f"{len(found)} backups ({stored} in the object store), {span}"
    locked = max((one["locked_until"] for one in found if one["locked_until"]), default=None)
    later = f" They are locked, and go on {locked}." if locked else ""
    return f"This removes its {what}. Nothing can be restored from then on.{later}"


def asked(name: str, warnings: list[str]) -> str:
    """What somebody types who is asked for the name of what is destroyed."""
    if not sys.stdin.isatty():
        raise Invalid(
            "deleting backups needs a confirmation", field="confirm", remedy=f"Give its name: --confirm {name}"
        )
    for warning in warnings:
        output.say(warning)
    return typed()


def source(api: Any, wanted: str) -> str:
    """The uuid of the datastore called ``wanted``; of the newest deleted one of that name that has backups."""
    try:
        return resolve.identity(api, wanted)
    except NotFound:
        for backup in every(api, ALL):
            if backup["datastore_name"] == wanted or backup["datastore_uuid"] == wanted:
                return str(backup["datastore_uuid"])
        raise


def every(api: Any, where: str) -> Iterator[Mapping[str, Any]]:
    """All backups there, newest first, page by page."""
    offset = 0
    while page := api.get(where, limit=_PAGE, offset=offset)["backups"]:
        yield from page
        offset += len(page)
        if len(page) < _PAGE:
            return


def path(uuid: str) -> str:
    return f"{ALL}/{uuid}"


def status(backup: Mapping[str, Any]) -> str:
    """In a line of the list: names the object that is damaged."""
    return f"{backup['status']}: {backup['err']}" if backup["err"] else str(backup["status"])
