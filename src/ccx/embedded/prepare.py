"""What ``ccx up`` makes before the supervisor starts, once nothing is in the way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from compileall import compile_dir
from pathlib import Path

import ccx
from ccx.clouds.local.network import attach_control_plane
from ccx.db.postgres_binaries import installed
from ccx.embedded import external, namespace, outside, outside_names, packages, reachable
from ccx.embedded.files import Files
from ccx.embedded.layout import Layout
from ccx.errors import Conflict
from ccx.network.plan import Plan, plan
from ccx.settings import load


def instance(layout: Layout, changes: Sequence[str], say: Callable[[str], None], image: str | None = None) -> list[str]:
    """Makes what is missing, and returns the supervisor's command. Raises :class:`ccx.errors.CcxError`.

    ``image`` is what the local cloud's nodes start from henceforth; None: as before.
    What is unwise about the settings is said.
    """
    # User ccx can't write beside the source, and would compile it at every start.
    compile_dir(str(Path(ccx.__file__).parent), quiet=2)
    Files(layout, packages.chosen(layout, image, changes)).make()
    settings = load(layout.instance, environ={})  # as the parts see them: they get no environment of ours
    packages.prepare(settings, layout, say)
    for warning in external.check(settings, layout):
        say(f"warning: {warning}")
    wanted = plan(settings)
    for warning in asyncio.run(_network(layout, wanted)):
        say(f"warning: {warning}")
    command = [sys.executable, "-m", "ccx.embedded", "--instance", layout.instance]
    if settings.dsn == layout.dsn:
        command += ["--postgres", str(installed(layout.var / "postgresql"))]
    if settings.nats_url == layout.nats_url:
        command.append("--nats")
    if any(cloud.s3_endpoint == layout.s3_url for cloud in settings.clouds):
        command.append("--s3")
    if any(cloud.type == "local" for cloud in settings.clouds):
        command.append("--local-cloud")
    if packages.wanted(settings, layout):
        command.append("--packages")
    if external.hosts_of(external.destinations(wanted, layout)):
        command.append("--outside")
    if layout.resolve:
        command += ["--resolve", settings.user_domain]
    return command


async def _network(layout: Layout, wanted: Plan) -> list[str]:
    """The control plane's namespace, with its way to nodes, resolver and this machine, and out where it has to go.

    Returns what there is to warn of.
    """
    abroad = external.destinations(wanted, layout)
    addresses, unknown = await outside_names.look_up_each(abroad)
    external.settle(abroad, unknown)
    await namespace.ensure(layout)
    await attach_control_plane(layout.place)
    outside_names.write(layout, wanted, addresses)
    await namespace.enforce(layout, layout.egress_rules)  # before there is a way out
    if abroad:
        await outside.ensure(layout)
        silent = await reachable.check(layout, (one for one in abroad if one not in unknown))
        return external.settle(abroad, {**unknown, **silent})
    await outside.remove(layout)
    return []


def export_recovery(layout: Layout, target: Path, passphrase: str) -> None:
    """Writes the recovery copy. Raises Conflict rather than overwrite one."""
    try:
        Files(layout).export_recovery(target, passphrase)
    except FileExistsError:
        raise Conflict(f"{target} exists", field="--recovery-file", remedy="Name a new file") from None
