"""``ccx network``: the contract of every connection that leaves the system, for an instance on this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ccx.cli import output
from ccx.cli.options import Output
from ccx.errors import Invalid, NotFound

if TYPE_CHECKING:
    from ccx.network.plan import Plan, Row

app = App(name="network", help="The contract of every connection that leaves the system.", help_epilogue="")

Instance = Annotated[str, Parameter(help="The instance on this machine whose settings count.")]
Printed = Annotated[Output, Parameter(name=["--output", "-o"], help="How the result is printed.")]

_COLUMNS: list[output.Column] = [
    ("PLANE", "plane"),
    ("DIRECTION", "direction"),
    ("HOST", "host"),
    ("PORT", "port"),
    ("PROTOCOL", "protocol"),
    ("NEEDED", lambda r: "required" if r["required"] else r["condition"] or "optional"),
    ("PURPOSE", "purpose"),
]


@app.command
def plan(
    *,
    plane: Annotated[
        list[str] | None, Parameter(negative=(), help="Only these planes: control, data, browser, install …")
    ] = None,
    format: Annotated[str, Parameter(help="In a format for machines instead: nftables, dnsmasq, json …")] = "",
    instance: Instance = "default",
    output: Printed = Output.TABLE,
) -> None:
    """List what has to be open for the settings that there are.

    Try:
      ccx network plan --plane data
      ccx network plan --format nftables
    """
    from ccx.cli.output import rows
    from ccx.network.kinds import Plane

    chosen = _plan(instance)
    if format:
        from ccx.network.render import render

        sys.stdout.write(render(chosen, format))
        return
    try:
        planes = [Plane(name) for name in plane or ()]
    except ValueError as error:
        known = ", ".join(p.value for p in Plane)
        raise Invalid(str(error), field="plane", remedy=f"Planes are: {known}") from None
    rows([_shown(row) for row in chosen.select(*planes)], _COLUMNS, output, empty="Nothing has to be open.")


@app.command
def explain(
    destination: Annotated[str, Parameter(help="A host, or host:port.")],
    /,
    *,
    instance: Instance = "default",
    output: Printed = Output.TABLE,
) -> None:
    """Say which rows of the contract cover a destination, and what happens when it is blocked.

    Ends with 3 when none does: nothing here may connect to it.

    Try:
      ccx network explain hooks.slack.com:443
    """
    from ccx.cli.output import rows

    host, _, port = destination.rpartition(":") if destination.count(":") == 1 else (destination, "", "")
    if port and not port.isdigit():
        raise Invalid(f"{port!r} is no port", field="destination", remedy="Give a host, or host:port")
    found = _plan(instance).find(host, int(port) if port else None)
    if not found:
        raise NotFound(f"no row of the contract covers {destination}", remedy="Nothing of CCX connects to it")
    columns: list[Any] = [("ID", "id"), *_COLUMNS, ("WHEN BLOCKED", "when_blocked")]
    rows([_shown(row) for row in found], columns, output, empty="")


def _plan(instance: str) -> Plan:
    from ccx import settings
    from ccx.network.plan import plan

    return plan(settings.load(instance))


def _shown(row: Row) -> dict[str, Any]:
    """As plain data, in the order of the declaration."""
    from dataclasses import fields
    from enum import Enum

    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return {
        name: value.value if isinstance(value, Enum) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if name != "group"
    }
