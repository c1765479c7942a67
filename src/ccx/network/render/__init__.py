"""The plan, written for a reader. One module a format; a new one is a line here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ccx.errors import Invalid
from ccx.network.plan import Plan

FORMATS = {
    "csv": "ccx.network.render.csv",
    "dnsmasq": "ccx.network.render.dnsmasq",
    "json": "ccx.network.render.json",
    "markdown": "ccx.network.render.markdown",
    "nftables": "ccx.network.render.nftables",
}


def render(plan: Plan, fmt: str, **options: Any) -> str:
    """The plan in that format, which ends in a newline. ``options`` are those of the format's ``render``.

    Raises Invalid for a format that there is none of.
    """
    if fmt not in FORMATS:
        raise Invalid(
            f"there is no format {fmt!r}", field="format", remedy=f"Formats are: {', '.join(sorted(FORMATS))}"
        )
    text: str = import_module(FORMATS[fmt]).render(plan, **options)
    return text
