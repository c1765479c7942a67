"""The plan, written for a reader. One module a format; a new one is a line here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ccx.errors import Invalid
from ccx.network.plan import Plan

FORMATS = {
    "aws-network-firewall": "ccx.network.render.aws_network_firewall",
    "aws-security-groups": "ccx.network.render.aws_security_groups",
    "checklist": "ccx.network.render.checklist",
    "csp": "ccx.network.render.csp",
    "csv": "ccx.network.render.csv",
    "dnsmasq": "ccx.network.render.dnsmasq",
    "json": "ccx.network.render.json",
    "kubernetes": "ccx.network.render.kubernetes",
    "list-addresses": "ccx.network.render.lists:addresses",
    "list-domains": "ccx.network.render.lists:domains",
    "list-urls": "ccx.network.render.lists:urls",
    "markdown": "ccx.network.render.markdown",
    "nftables": "ccx.network.render.nftables",
    "openstack": "ccx.network.render.openstack",
    "squid": "ccx.network.render.squid",
}
"""Each format's module, whose ``render`` it is unless another function is named."""


def renderer(fmt: str) -> Callable[..., str]:
    """The function that writes that format. Raises Invalid for a format that there is none of."""
    if fmt not in FORMATS:
        raise Invalid(
            f"there is no format {fmt!r}", field="format", remedy=f"Formats are: {', '.join(sorted(FORMATS))}"
        )
    module, _, function = FORMATS[fmt].partition(":")
    found: Callable[..., str] = getattr(import_module(module), function or "render")
    return found


def render(plan: Plan, fmt: str, **options: Any) -> str:
    """The plan in that format, which ends in a newline. ``options`` are those of the format's function.

    Raises Invalid for a format that there is none of.
    """
    return renderer(fmt)(plan, **options)
