"""``ccx database``: the databases in a datastore."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from ccx.cli import output, resolve
from ccx.cli.confirming import Yes, confirm
from ccx.cli.datastore import Wanted
from ccx.cli.options import DEFAULT, Common

app = App(name="database", help="The databases in a datastore.", help_epilogue="")

Name = Annotated[str, Parameter(help="The database's name: letters, digits and _, at most 63.")]


@app.command(name="list")
def list_(datastore: Wanted, /, *, common: Common = DEFAULT) -> None:
    """List databases with their sizes.

    Try:
      ccx database list orders
    """
    with common.api() as api:
        found = api.get(f"/userdb/api/v1/databases/{resolve.identity(api, datastore)}") or []
    output.rows(
        found,
        [
            ("NAME", "database_name"),
            ("OWNER", "database_owner"),
            ("SIZE", lambda d: output.size(d.get("database_size"))),
            ("TABLES", "number_of_tables"),
            ("STATUS", "status"),
        ],
        common.output,
        empty="No databases. Create one: ccx database create DATASTORE NAME",
    )


@app.command
def create(datastore: Wanted, name: Name, /, *, common: Common = DEFAULT) -> None:
    """Create a database.

    Try:
      ccx database create orders invoices
    """
    with common.api() as api:
        made = api.post(_path(resolve.identity(api, datastore)), {"database_name": name})
    output.record(
        made or {"database_name": name}, [("name", "database_name"), ("owner", "database_owner")], common.output
    )


@app.command
def delete(datastore: Wanted, name: Name, /, *, yes: Yes = False, common: Common = DEFAULT) -> None:
    """Delete a database and all that is in it.

    Try:
      ccx database delete orders invoices
      ccx database delete orders invoices --yes
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        if not yes:
            confirm("database", name)
        api.delete(_path(uuid), {"database_name": name})
    output.done(f"database {name} is deleted", {"database_name": name}, common.output)


def _path(uuid: str) -> str:
    return f"/userdb/api/v1/database/{uuid}"
