"""``ccx token``: OAuth2 clients, for programs that call the API."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from ccx.cli import output
from ccx.cli.options import DEFAULT, Common

app = App(name="token", help="OAuth2 clients, for programs that call the API.", help_epilogue="")

_PATH = "/auth/oauth2/clients"


@app.command
def create(name: Annotated[str, Parameter(help="What it is for.")], /, *, common: Common = DEFAULT) -> None:
    """Create a client id and secret. The secret is shown once, here.

    They are what the Terraform provider and the MCP server log in with (CCX_CLIENT_ID, CCX_CLIENT_SECRET).

    Try:
      ccx token create terraform --output json > client.json
    """
    with common.api() as api:
        made = api.post(_PATH, {"name": name})
    output.record(
        made, [("name", "name"), ("client id", "client_id"), ("client secret", "client_secret")], common.output
    )
    output.say("The secret is not shown again.")


@app.command(name="list")
def list_(*, common: Common = DEFAULT) -> None:
    """List your clients.

    Try:
      ccx token list
    """
    with common.api() as api:
        found = api.get(_PATH)["clients"]
    output.rows(
        found,
        [("NAME", "name"), ("CLIENT ID", "client_id"), ("CREATED", lambda c: output.age(c.get("created_at")))],
        common.output,
        empty="No clients. Create one: ccx token create NAME",
    )


@app.command
def revoke(client_id: str, /, *, common: Common = DEFAULT) -> None:
    """Remove a client; its tokens end at once.

    Try:
      ccx token revoke ccxAb3dE
    """
    with common.api() as api:
        api.delete(f"{_PATH}/{client_id}")
    output.done(f"client {client_id} is revoked", {"client_id": client_id}, common.output)
