"""``ccx cloud``: what exists on the clouds, for operators."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from ccx.cli import output
from ccx.cli.exits import Exit
from ccx.cli.options import DEFAULT, Common

app = App(name="cloud", help="What exists on the clouds (operators).", help_epilogue="")


@app.command
def inventory(
    *,
    check: Annotated[bool, Parameter(negative=(), help="End with 1 if anything is orphaned.")] = False,
    common: Common = DEFAULT,
) -> int:
    """List everything that this installation owns on its clouds, whose it is, and what is orphaned.

    Orphaned is what the cloud has and no datastore knows of.

    Try:
      ccx cloud inventory
      ccx cloud inventory --check --output json
    """
    with common.api() as api:
        answer = api.get("/admin/cloud/inventory")
    found = answer["resources"]
    output.rows(
        found,
        [
            ("KIND", "kind"),
            ("NAME", "name"),
            ("CLOUD", "cloud"),
            ("DATASTORE", lambda r: r.get("datastore_name") or r.get("datastore_uuid")),
            ("OWNER", "owner"),
            ("DETAIL", "detail"),
            ("", lambda r: "ORPHANED" if r["orphaned"] else ""),
        ],
        common.output,
        empty="The clouds hold nothing of this installation.",
    )
    orphans = sum(1 for resource in found if resource["orphaned"])
    if orphans:
        output.say(f"{orphans} orphaned")
    return Exit.FAILED if check and orphans else Exit.OK
