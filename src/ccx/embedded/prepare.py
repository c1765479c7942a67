"""What ``ccx up`` does before the supervisor starts: looks for what is in the way, then makes what is missing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from compileall import compile_dir
from pathlib import Path

import ccx
from ccx.db.postgres_binaries import installed
from ccx.embedded import preflight
from ccx.embedded.files import Files
from ccx.embedded.layout import Layout
from ccx.errors import Conflict
from ccx.network.plan import plan
from ccx.network.render import render
from ccx.settings import load


async def instance(
    name: str,
    *,
    wanted_subnet: str | None,
    listen: str | None,
    resolve: bool | None,
    changes: Sequence[str],
    say: Callable[[str], None],
) -> tuple[Layout, list[str]]:
    """Prepares the instance and returns it with the supervisor's command. Raises :class:`ccx.errors.CcxError`."""
    layout = await preflight.plan(name, wanted_subnet=wanted_subnet, listen=listen, resolve=resolve)
    say(f"instance {name!r}: {layout.etc}, {layout.var}, {layout.subnet}")
    # User ccx can't write beside the source, and would compile it at every start.
    await asyncio.to_thread(compile_dir, str(Path(ccx.__file__).parent), quiet=2)
    await asyncio.to_thread(Files(layout, changes).make)
    settings = load(name)
    layout.egress_rules.write_text(render(plan(settings), "nftables"))
    command = [sys.executable, "-m", "ccx.embedded", "--instance", name]
    if settings.dsn == layout.dsn:
        programs = await asyncio.to_thread(installed, layout.var / "postgresql")
        command += ["--postgres", str(programs)]
    if settings.nats_url == layout.nats_url:
        command.append("--nats")
    if any(cloud.type == "local" for cloud in settings.clouds):
        command.append("--local-cloud")
    return layout, command


def export_recovery(layout: Layout, target: Path, passphrase: str) -> None:
    """Writes the recovery copy. Raises Conflict rather than overwrite one."""
    try:
        Files(layout).export_recovery(target, passphrase)
    except FileExistsError:
        raise Conflict(f"{target} exists", field="--recovery-file", remedy="Name a new file") from None
