"""``ccx datastore bootstrap``: a person's decision about a datastore whose nodes were all lost."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from ccx.cli import output, resolve
from ccx.cli.confirming import typed
from ccx.cli.options import DEFAULT, Common, Output
from ccx.errors import Invalid

_COLUMNS: list[output.Column] = [
    ("NODE", "node"),
    ("ANSWERS", lambda one: "yes" if one["answers"] else "no"),
    ("SERVES", lambda one: "yes" if one["serves"] else "no"),
    ("HISTORY", lambda one: one["history"][:8]),
    ("POSITION", lambda one: one["position"] if one["history"] else ""),
    ("LAST GROUP", "last_group"),
    ("WAITS BECAUSE", "note"),
]
_NONE = "It has no nodes."


def bootstrap(
    datastore: Annotated[str, Parameter(help="Name, uuid, or the first 4 or more characters of the uuid.")],
    /,
    *,
    node: Annotated[str, Parameter(help="Whose data everybody shall go on with; without, only shows.")] = "",
    confirm: Annotated[str, Parameter(help="The datastore's name, instead of being asked for it.")] = "",
    common: Common = DEFAULT,
) -> None:
    """Show what each node has when all were lost, or decide with whose data a datastore goes on.

    Galera's members begin again by themselves where that is certain to lose nothing, and else they wait. What
    only other nodes have than the one that is chosen is given up. There is no way back.

    Try:
      ccx datastore bootstrap shop
      ccx datastore bootstrap shop --node n2g1
      ccx datastore bootstrap shop --node n2g1 --confirm shop
    """
    with common.api() as api:
        found = resolve.datastore(api, datastore)
        where, name = f"/prov/api/v2/cluster/{found['uuid']}/bootstrap", found["cluster_name"]
        remains = api.get(where)
        if node:
            given = confirm or _asked(name, node, remains)
            api.post(where, {"node": node, "confirm": given})
    if node and common.output is Output.TABLE:
        output.say(f"{name} goes on with the data of {node}")
    else:
        output.rows(remains, _COLUMNS, common.output, empty=_NONE)


def _asked(name: str, node: str, remains: list[dict[str, Any]]) -> str:
    if not sys.stdin.isatty():
        raise Invalid(
            "giving up what other nodes have needs a confirmation",
            field="confirm",
            remedy=f"Give the datastore's name: --confirm {name}",
        )
    output.rows(remains, _COLUMNS, Output.TABLE, empty=_NONE)
    output.say(f"{name} goes on with the data of {node}. What only other nodes have is given up.")
    return typed()
