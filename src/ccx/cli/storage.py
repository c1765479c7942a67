"""``ccx storage``: the object stores that backups are kept in, for operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import App, Parameter

from ccx.cli import output
from ccx.cli.exits import Exit
from ccx.cli.options import DEFAULT, Common, Output

app = App(name="storage", help="The object stores that backups are kept in (operators).", help_epilogue="")


@app.command
def check(
    *,
    cloud: Annotated[str | None, Parameter(help="Only the store of this cloud.")] = None,
    common: Common = DEFAULT,
) -> int:
    """Try what backups need of the object stores, and say what is missing.

    It puts, reads, lists and deletes objects below ccx-check/, makes a user and removes it, and leaves nothing behind.
    Ends with 1 if a store can't hold backups.

    Try:
      ccx storage check
      ccx storage check --cloud local --output json
    """
    with common.api() as api:
        wanted = {"cloud": cloud} if cloud else None
        answer = api.call("POST", "/admin/storage/check", params=wanted, within=_PATIENCE_S)
    if common.output is Output.TABLE:
        for store in answer["stores"]:
            _show(store)
    else:
        output.document(answer, common.output)
    return Exit.OK if answer["ok"] else Exit.FAILED


_PATIENCE_S = 180.0


def _show(store: dict[str, Any]) -> None:
    output.say(f"{store['cloud']}: {store['endpoint']}, bucket {store['bucket']}")
    output.rows(
        store["tried"],
        [
            ("", _mark),
            ("TRIED", "name"),
            ("TOOK", lambda one: f"{one['seconds']:.2f} s" if one["ok"] is not None else ""),
            ("", lambda one: one["detail"] or one["err"]),
        ],
        Output.TABLE,
        empty="",
    )
    for one in store["tried"]:
        if one["ok"] is False:
            output.say(f"{'' if one['needed'] else '(not needed) '}{one['name']}: {one['err']}. {one['remedy']}")
    output.say("Backups can be kept there." if store["ok"] else "Backups can't be kept there.")


def _mark(one: Mapping[str, Any]) -> str:
    if one["ok"] is None:
        return "not tried"
    return "ok" if one["ok"] else "MISSING" if one["needed"] else "no"
