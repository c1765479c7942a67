"""Hosts with ``{variables}`` of the settings in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ccx.errors import Invalid

if TYPE_CHECKING:
    from ccx.settings import Settings

_VARIABLE = re.compile(r"\{([a-z_][a-z0-9_.]*)\}")


def is_template(text: str) -> bool:
    """Whether it has variables, or braces that should have been some."""
    return "{" in text or "}" in text


def expand(template: str, settings: Settings, *, field: str) -> str:
    """``{fqdn}`` and the like, replaced by the setting of that (dotted) name, whose value may hold variables itself.

    Raises Invalid, naming ``field``, for a variable that is no setting, is unset, or refers to itself.
    """
    return _expand(template, settings, field, ())


def _expand(text: str, settings: Settings, field: str, within: tuple[str, ...]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in within:
            raise Invalid(
                f"the variable {{{name}}} refers to itself: {' -> '.join([*within, name])}",
                field=field, remedy=f"Write a plain value for {name}",
            )  # fmt: skip
        return _expand(_lookup(name, settings, field), settings, field, (*within, name))

    expanded = _VARIABLE.sub(value, text)
    if is_template(expanded):
        raise Invalid(f"{text!r} has a brace that is no variable", field=field, remedy="Write variables as {name}")
    return expanded


def _lookup(name: str, settings: Settings, field: str) -> str:
    found: object = settings
    for part in name.split("."):
        fields = getattr(type(found), "model_fields", {})
        if part not in fields:
            raise Invalid(
                f"there is no setting {name!r}", field=field, remedy=f"Settings here are: {', '.join(sorted(fields))}"
            )
        found = getattr(found, part)
    if found in ("", None) or not isinstance(found, str | int):
        raise Invalid(f"the setting {name!r}, which a host needs, has no value", field=field, remedy=f"Set {name}")
    return str(found)
