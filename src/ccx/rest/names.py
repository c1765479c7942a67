"""Which names users may give."""

from __future__ import annotations

import re

from ccx.errors import Invalid

LONGEST = 63
"""Characters. Some clients allow 64; 63 is what a DNS label and a PostgreSQL identifier hold."""

_DATASTORE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]*[A-Za-z0-9])?")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

RESERVED_DATASTORES = frozenset(
    {"ccx", "ccxdb", "cmon", "backupuser", "postgres", "mysql", "root", "proxydemo", "template0", "template1",
     "information_schema", "performance_schema", "sys"}
)  # fmt: skip
RESERVED_DATABASES = frozenset({"ccxdb", "cmon", "proxydemo"})
RESERVED_USERS = frozenset({"cmon", "ccx", "ccxdb", "backupuser", "root", "default", "netdata"})
"""In addition to what the engine reserves."""


def check_confirmed(name: str, typed: str) -> None:
    """Raises Invalid unless somebody typed the name of what is to be destroyed."""
    if typed != name:
        raise Invalid(
            f"what is destroyed has to be named: {typed!r} is not {name!r}" if typed else "its name has to be typed",
            field="confirm",
            remedy="Give the datastore's name; nothing was deleted",
        )


def check_datastore(name: str, field: str) -> None:
    """Raises Invalid for a datastore's name that is too long, of other characters, or reserved."""
    if not name:
        raise Invalid("a datastore needs a name", field=field, remedy=f"Choose one of 1 to {LONGEST} characters")
    _check_length(name, field)
    if not _DATASTORE.fullmatch(name):
        raise Invalid(
            f"{name!r} has characters that a name can't have",
            field=field,
            remedy="Use letters, digits, spaces and . _ - between them; begin and end with a letter or digit",
        )
    _check_reserved(name, RESERVED_DATASTORES, field)


def check_identifier(name: str, reserved: frozenset[str], beginnings: tuple[str, ...], field: str) -> None:
    """Raises Invalid for a database's or database user's name that can't be used.

    Args:
        reserved: names that are taken.
        beginnings: of names that the server has for itself.
    """
    if not name:
        raise Invalid("this needs a name", field=field, remedy=f"Choose one of 1 to {LONGEST} characters")
    _check_length(name, field)
    if not _IDENTIFIER.fullmatch(name):
        raise Invalid(
            f"{name!r} has characters that this name can't have",
            field=field,
            remedy="Use letters, digits and _; don't begin with a digit",
        )
    _check_reserved(name, reserved, field)
    if name.lower().startswith(beginnings):
        theirs = " or ".join(beginnings)
        raise Invalid(
            f"{name!r} is reserved", field=field, remedy=f"Names that begin with {theirs} are the server's own"
        )


def _check_length(name: str, field: str) -> None:
    if len(name) > LONGEST:
        raise Invalid(f"the name has {len(name)} characters", field=field, remedy=f"Use at most {LONGEST}")


def _check_reserved(name: str, reserved: frozenset[str], field: str) -> None:
    if name.lower() in reserved:
        raise Invalid(f"{name!r} is reserved", field=field, remedy="Choose another name")
