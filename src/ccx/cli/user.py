"""``ccx user``: the database users of a datastore."""

from __future__ import annotations

import secrets
import string
from typing import Annotated, Any

from cyclopts import App, Parameter

from ccx.cli import output, resolve
from ccx.cli.datastore import Wanted
from ccx.cli.options import DEFAULT, Common

app = App(name="user", help="The database users of a datastore.", help_epilogue="")

Name = Annotated[str, Parameter(help="The user's name, at most 63 characters.")]

_PASSWORD_LENGTH = 32
# Letters and digits only: existing clients put passwords into connection strings without escaping them.
_PASSWORD_ALPHABET = string.ascii_letters + string.digits


@app.command(name="list")
def list_(datastore: Wanted, /, *, common: Common = DEFAULT) -> None:
    """List database users.

    Try:
      ccx user list orders
    """
    with common.api() as api:
        found = api.get(f"/userdb/api/v1/users/{resolve.identity(api, datastore)}") or []
    output.rows(
        found,
        [("NAME", "user_name"), ("GRANTS", "grants"), ("FROM", "host_allow"), ("AUTHENTICATION", "auth_plugin")],
        common.output,
        empty="No users. Create one: ccx user create DATASTORE NAME",
    )


@app.command
def create(
    datastore: Wanted,
    name: Name,
    /,
    *,
    database: Annotated[str, Parameter(help="The database that the privileges are for.")] = "",
    privileges: Annotated[str, Parameter(help="What it may do there; else the API's default.")] = "",
    admin: Annotated[bool, Parameter(negative=(), help="May do everything that a tenant can.")] = False,
    password_file: Annotated[
        str | None, Parameter(help="File with the password, - is standard input; else one is made.")
    ] = None,
    common: Common = DEFAULT,
) -> None:
    """Create a database user. A password that is made is shown once, here.

    Try:
      ccx user create orders reporting --database invoices
      ccx user create orders app --password-file app.password
    """
    from ccx.cli.session import read_password

    password = new_password() if password_file is None else read_password(password_file)
    body: dict[str, Any] = {"database_username": name, "database_password": password}
    if database:
        body["database_name"] = database
    if privileges:
        body["database_privileges"] = privileges
    if admin:
        body["create_admin_user"] = True
    with common.api() as api:
        api.post(_path(resolve.identity(api, datastore)), body)
    made = {"user_name": name, **({"password": password} if password_file is None else {})}
    output.record(made, [("name", "user_name"), ("password", "password")], common.output)
    if password_file is None:
        output.say("The password is not shown again.")


@app.command
def delete(
    datastore: Wanted,
    name: Name,
    /,
    *,
    host: Annotated[str, Parameter(help="The host part of the user, where the engine has one.")] = "%",
    common: Common = DEFAULT,
) -> None:
    """Delete a database user.

    Try:
      ccx user delete orders reporting
    """
    with common.api() as api:
        api.delete(_path(resolve.identity(api, datastore)), {"database_username": name, "database_host": host})
    output.done(f"user {name} is deleted", {"user_name": name}, common.output)


def new_password() -> str:
    """A random password of letters and digits with 190 bits of chance."""
    return "".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(_PASSWORD_LENGTH))


def _path(uuid: str) -> str:
    return f"/userdb/api/v1/user/{uuid}"
