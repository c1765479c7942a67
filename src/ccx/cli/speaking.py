"""What a datastore speaks, and what of ours writes its connection strings and runs its command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from ccx.cli import resolve
from ccx.cli.connection import Connection, Format, Role
from ccx.cli.options import Common
from ccx.errors import CcxError

# One line for each scheme of URLs, with the module that is a Speaker. Imported when asked for.
_SPEAKERS = {"mysql": "ccx.cli.mysql", "postgresql": "ccx.cli.psql"}


class Speaker(Protocol):
    """A module with these functions."""

    def parameters(self, told: Connection, role: Role, ca_file: Path) -> dict[str, str]:
        """The client library's own, by its own names, the password among them."""

    def written(self, parameters: Mapping[str, str], form: Format) -> str:
        """The parameters as text that works as pasted."""

    def run(self, parameters: Mapping[str, str], arguments: Sequence[str]) -> int:
        """Runs the command line to its end; 0, or 1 when it failed. The password shows in no list of processes."""


def reach(common: Common, datastore: str, role: Role) -> tuple[Speaker, dict[str, str]]:
    """Who speaks to the datastore, and the parameters for it; its CA is stored on the way."""
    with common.api() as api:
        uuid = resolve.identity(api, datastore)
        told = Connection.of(api.get(f"/deployment/v2/data-stores/{uuid}/connection"))
    if told.speaks not in _SPEAKERS:
        raise CcxError(f"this ccx does not know how to speak {told.speaks}", remedy="Install the control plane's own")
    speaker = cast(Speaker, import_module(_SPEAKERS[told.speaks]))
    return speaker, speaker.parameters(told, role, told.keep_ca(uuid))
