"""``ccx network``: the contract of every connection that leaves the system."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ccx.cli.exits import Exit
from ccx.cli.network_observed import observed
from ccx.cli.network_probe import probe
from ccx.cli.network_settings import DEFAULT, SettingsFrom, read_plan
from ccx.cli.options import Output
from ccx.errors import Invalid, NotFound

if TYPE_CHECKING:
    from ccx.cli.output import Column
    from ccx.network.plan import Plan, Row

app = App(name="network", help="The contract of every connection that leaves the system.", help_epilogue="")
app.command(probe)
app.command(observed)

Printed = Annotated[Output, Parameter(name=["--output", "-o"], help="How the result is printed.")]

_COLUMNS: list[Column] = [
    ("PLANE", "plane"),
    ("DIRECTION", "direction"),
    ("HOST", "host"),
    ("PORT", "port"),
    ("PROTOCOL", "protocol"),
    ("NEEDED", lambda r: "required" if r["required"] else r["condition"] or "optional"),
    ("STATUS", "status"),
    ("PURPOSE", "purpose"),
]


@app.command
def plan(
    *,
    plane: Annotated[
        list[str] | None, Parameter(negative=(), help="Only these planes: control, data, browser, install …")
    ] = None,
    format: Annotated[
        str, Parameter(help="In a format for machines instead: json, csv, checklist, nftables, squid, kubernetes …")
    ] = "",
    planned: Annotated[
        bool, Parameter(negative=(), help="In nftables and dnsmasq, open what is planned and not built yet as well.")
    ] = False,
    out: Annotated[
        Path | None, Parameter(help="Write the format to this file, whole or not at all, instead of printing it.")
    ] = None,
    settings: SettingsFrom = DEFAULT,
    output: Printed = Output.TABLE,
) -> None:
    """List what has to be open for the settings that there are.

    The settings are those of an instance on this machine, or of the values files that are given.

    Try:
      ccx network plan --plane data
      ccx network plan --format nftables --plane data --out nodes.nft
      ccx network plan --values ccx.yaml --values ccxdeps.yaml --format checklist
    """
    from ccx.cli.output import rows

    given = settings.given()
    if out and not format:
        raise Invalid("a table is for reading, not for a file", field="out", remedy="Choose a --format")
    if format:
        text = _formatted(given.plan, format, plane, planned, given.warnings)
        _write(out, text) if out else sys.stdout.write(text)
        return
    found = given.plan.select(*planes(plane))
    rows([_shown(row) for row in found], _COLUMNS, output, empty="Nothing has to be open.")


@app.command
def explain(
    destination: Annotated[str, Parameter(help="A host, or host:port.")],
    /,
    *,
    settings: SettingsFrom = DEFAULT,
    output: Printed = Output.TABLE,
) -> None:
    """Say why a destination is or is not in the plan, who uses it, and what breaks without it.

    Ends with 3 when nothing of CCX ever connects to it.

    Try:
      ccx network explain hooks.slack.com:443
      ccx network explain hooks.slack.com --values ccx.yaml
    """
    from ccx.cli.output import rows
    from ccx.network.explain import explain, likeliest

    host, port = _destination(destination)
    chosen = settings.given().plan
    found = explain(chosen, host, port)
    if not found:
        near = likeliest(chosen, host, port)
        remedy = f"The nearest is {near}" if near else "Nothing of CCX connects to it"
        raise NotFound(f"no row of the contract covers {destination}", remedy=remedy)
    columns: list[Any] = [
        ("ID", "id"), ("IN THE PLAN", "in_the_plan"), ("WHY", "why"), ("SERVICE", "service"), *_COLUMNS,
        ("WHEN BLOCKED", "when_blocked"),
    ]  # fmt: skip
    items = [{**_shown(a.row), "in_the_plan": a.planned, "why": a.why} for a in found]
    rows(items, columns, output, empty="")


@app.command
def diff(
    old: Annotated[Path, Parameter(help="A values file, or a plan exported with --format json.")],
    new: Annotated[Path, Parameter(help="The same, after the change.")],
    /,
    *,
    lenient: Annotated[
        bool, Parameter(negative=(), help="Take settings that would be refused, with warnings.")
    ] = False,
    output: Printed = Output.TABLE,
) -> int:
    """List the rules to add before a change of settings, and to remove after it.

    Ends with 1 when something must be added.

    Try:
      ccx network diff ccx.yaml ccx-new.yaml
      ccx network diff plan.json ccx-new.yaml
    """
    from ccx.cli.output import rows
    from ccx.network.diff import diff

    found = diff(read_plan(old, lenient), read_plan(new, lenient))
    items = [
        {"change": change, **{n: getattr(rule, n) for n in ("plane", "direction", "host", "port", "transport")},
         "id": rule.row.id, "purpose": rule.row.purpose, "status": rule.row.status.value}
        for change, rules in (("add before", found.add), ("remove after", found.remove))
        for rule in rules
    ]  # fmt: skip
    columns: list[Column] = [
        (heading.upper(), heading)
        for heading in ("change", "plane", "direction", "host", "port", "transport", "id", "status", "purpose")
    ]
    rows(items, columns, output, empty="No rule changes.")
    return Exit.FAILED if found.add else Exit.OK


def _formatted(found: Plan, fmt: str, names: list[str] | None, planned: bool, warnings: Any) -> str:
    """The whole text first, so that an error leaves nothing half-written."""
    from dataclasses import replace
    from inspect import signature

    from ccx.network.kinds import Plane
    from ccx.network.render import render, renderer

    takes = signature(renderer(fmt)).parameters
    chosen = planes(names)
    options: dict[str, Any] = {"warnings": warnings} if "warnings" in takes else {}
    if "plane" in takes and len(chosen) == 1:
        options["plane"] = chosen[0]
    elif "plane" in takes and len(chosen) > 1:
        raise Invalid(f"{fmt} is for one plane", field="plane", remedy="Name one")
    elif chosen:
        kept: set[Plane] = set(chosen)
        found = replace(found, rows=tuple(row for row in found.rows if row.plane in kept))
    if planned and "planned" not in takes:
        raise Invalid(f"{fmt} has planned rows in any case", field="planned", remedy="Leave --planned out")
    if planned:
        options["planned"] = True
    return render(found, fmt, **options)


def _write(file: Path, text: str) -> None:
    """To a file beside it first, which then takes its place: nobody ever reads half of it."""
    from tempfile import NamedTemporaryFile

    try:
        with NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.", delete=False, encoding="utf-8") as part:
            try:
                part.write(text)
                part.close()
                Path(part.name).chmod(0o644)
                Path(part.name).replace(file)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise Invalid(f"can't be written: {error.strerror}", field=str(file), remedy="Check the path") from None


def planes(names: Sequence[str] | None) -> list[Any]:
    """The planes of these names. Raises Invalid for what is none."""
    from ccx.network.kinds import Plane

    try:
        return [Plane(name) for name in names or ()]
    except ValueError as error:
        known = ", ".join(p.value for p in Plane)
        raise Invalid(str(error), field="plane", remedy=f"Planes are: {known}") from None


def _destination(text: str) -> tuple[str, int | None]:
    from ccx.network.hosts import checked_host, checked_port

    host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "")
    if port and not port.isdecimal():
        raise Invalid(f"{port!r} is no port", field="destination", remedy="Give a host, or host:port")
    host = host.strip("[]")
    if not host.startswith("group:"):
        host = checked_host(host, field="destination")
    return host, checked_port(int(port), field="destination") if port else None


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
