"""``ccx datastore reads``: whether replicas may answer with less than was acknowledged."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ccx.cli import output, resolve
from ccx.cli.options import DEFAULT, Common

_COLUMNS: list[output.Column] = [
    ("reads on replicas", lambda one: "wait until they are current" if one["current"] else "may be behind"),
]


def reads(
    datastore: Annotated[str, Parameter(help="Name, uuid, or the first 4 or more characters of the uuid.")],
    /,
    *,
    current: Annotated[bool | None, Parameter(help="Have them wait, or not; without, only shows.")] = None,
    common: Common = DEFAULT,
) -> None:
    """Show or choose whether reads on replicas wait until all is there that was acknowledged before.

    Of MariaDB with Galera. A read takes a little longer then; sessions that begin from now on go by it, and any
    session may choose for itself: SET SESSION wsrep_sync_wait = 0, or 1.

    Try:
      ccx datastore reads shop
      ccx datastore reads shop --current
      ccx datastore reads shop --no-current
    """
    with common.api() as api:
        found = resolve.datastore(api, datastore)
        where = f"/prov/api/v2/cluster/{found['uuid']}/reads"
        if current is not None:
            api.post(where, {"current": current})
        told = {"current": current} if current is not None else api.get(where)
    output.record(told, _COLUMNS, common.output)
