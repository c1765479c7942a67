"""Somebody who is about to destroy something is told what, and asked for its name."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from ccx.cli import output
from ccx.errors import Invalid

Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), help="Don't ask for the name.")]


def confirm(kind: str, name: str) -> None:
    """Before a ``datastore`` or ``database`` goes. Raises Invalid unless its name is typed."""
    if not sys.stdin.isatty():
        raise Invalid("deleting needs a confirmation", field="yes", remedy="Run it on a terminal, or give --yes")
    output.say(f"This deletes {kind} {name} and all its data.")
    if typed() != name:
        raise Invalid("that is not its name", field=kind, remedy="Nothing was deleted")


def typed() -> str:
    """What is typed for a name."""
    print("Type its name to go on: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
