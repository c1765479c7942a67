"""What ``ccx up`` does before the supervisor starts: looks for what is in the way, then makes what is missing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from ccx.db.postgres_binaries import installed
from ccx.embedded import preflight
from ccx.embedded.files import Files
from ccx.embedded.layout import Layout
from ccx.errors import Conflict


async def instance(
    name: str,
    *,
    wanted_subnet: str | None,
    listen: str | None,
    resolve: bool | None,
    say: Callable[[str], None],
) -> tuple[Layout, list[str]]:
    """Prepares the instance and returns it with the supervisor's command. Raises :class:`ccx.errors.CcxError`."""
    layout = await preflight.plan(name, wanted_subnet=wanted_subnet, listen=listen, resolve=resolve)
    say(f"instance {name!r}: {layout.etc}, {layout.var}, {layout.subnet}")
    await asyncio.to_thread(Files(layout).make)
    programs = await asyncio.to_thread(installed, layout.var / "postgresql")
    return layout, [sys.executable, "-m", "ccx.embedded", "--instance", name, "--postgres", str(programs)]


def export_recovery(layout: Layout, target: Path, passphrase: str) -> None:
    """Writes the recovery copy. Raises Conflict rather than overwrite one."""
    try:
        Files(layout).export_recovery(target, passphrase)
    except FileExistsError:
        raise Conflict(f"{target} exists", field="--recovery-file", remedy="Name a new file") from None
