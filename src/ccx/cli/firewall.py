"""``ccx firewall``: who may reach a datastore. Nobody may until a source is added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ccx.cli import output, resolve, sources
from ccx.cli.datastore import Wanted
from ccx.cli.options import DEFAULT, Common

if TYPE_CHECKING:
    from ccx.cli.client import Api

app = App(name="firewall", help="Who may reach a datastore.", help_epilogue="")

Source = Annotated[str, Parameter(help="Address or CIDR: 192.0.2.7 or 192.0.2.0/24.")]


@app.command(name="list")
def list_(datastore: Wanted, /, *, common: Common = DEFAULT) -> None:
    """List the sources that may connect.

    Try:
      ccx firewall list orders
    """
    with common.api() as api:
        _show(api, resolve.identity(api, datastore), common)


@app.command
def add(
    datastore: Wanted,
    source: Source,
    /,
    *,
    description: Annotated[str, Parameter(help="What it is, for people.")] = "",
    common: Common = DEFAULT,
) -> None:
    """Allow a source to connect; takes effect within seconds.

    Try:
      ccx firewall add orders 192.0.2.0/24 --description office
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        api.post(_path(uuid), {"source": sources.checked(source), "description": description})
        _show(api, uuid, common)


@app.command
def remove(datastore: Wanted, source: Source, /, *, common: Common = DEFAULT) -> None:
    """Take a source's right to connect away; its connections are cut.

    Try:
      ccx firewall remove orders 192.0.2.0/24
    """
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        api.delete(_path(uuid), {"source": source})
        _show(api, uuid, common)


def _path(uuid: str) -> str:
    return f"/firewall/api/v1/firewall/{uuid}"


def _show(api: Api, uuid: str, common: Common) -> None:
    rules = api.get(f"/firewall/api/v1/firewalls/{uuid}") or []
    output.rows(
        rules,
        [("SOURCE", "source"), ("DESCRIPTION", "description"), ("PORTS", _ports)],
        common.output,
        empty="Nobody may connect. Allow a source: ccx firewall add DATASTORE CIDR",
    )


def _ports(rule: Any) -> list[str]:
    return [f"{port['port_no']} {port['port']}" for port in rule.get("ports") or ()]
