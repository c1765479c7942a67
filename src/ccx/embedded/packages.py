"""What the local cloud's nodes start from: images, and a mirror for those that install their packages themselves.

The mirror is on their network, and run beside the control plane. It is filled when the stock image is chosen, and not
before: nodes of a baked image need nothing from it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import yaml

from ccx.clouds.local import image, network, package_server, packages
from ccx.cmon import engines
from ccx.cmon.engines.base import BakesSome
from ccx.embedded.layout import USER, Layout
from ccx.embedded.part import Process
from ccx.errors import Invalid
from ccx.settings import Settings

IMAGES = ("baked", "stock")
_PORT = 80
_SERVER = Path(package_server.__file__).read_text()


def chosen(layout: Layout, kind: str | None, changes: Sequence[str]) -> list[str]:
    """``changes`` with those that make the local cloud's nodes start from ``kind``; None: as before.

    Unless another mirror is named, the stock image's packages come from ours. Raises Invalid for an unknown image.
    """
    if kind is None:
        return list(changes)
    if kind not in IMAGES:
        raise Invalid(f"there is no image {kind!r}", field="--image", remedy="Use baked or stock")
    file, before = layout.etc / "ccx.yaml", None
    with suppress(FileNotFoundError, yaml.YAMLError):  # of what is no YAML, whoever changes it says so
        before = yaml.safe_load(file.read_text())
    before = before if isinstance(before, dict) else {}
    code = next((c["code"] for c in before.get("clouds", ()) if c.get("type") == "local"), "local")
    wanted = [f"clouds.{code}.image={kind}", *changes]
    named = (before.get("mirror") or {}).get("packages") or any(c.startswith("mirror.packages=") for c in changes)
    if kind == "stock" and not named:
        wanted += [f"mirror.packages={layout.mirror_url}", f"mirror.key={layout.mirror_key}"]
    return wanted


def wanted(settings: Settings, layout: Layout) -> bool:
    """Whether nodes get their packages from our own mirror."""
    return settings.mirror.packages == layout.mirror_url and any(c.type == "local" and c.stock for c in settings.clouds)


def baked(settings: Settings) -> list[str]:
    """The images that hold what is on offer; none for what no image holds in an offered version."""
    found = set()
    for database in filter(lambda offered: offered.enabled, settings.databases):
        for kind in database.types:
            engine = engines.get(database.code, settings, kind.code)
            if not isinstance(engine, BakesSome) or set(engine.baked) & set(database.versions):
                found.add(engine.image)
    return sorted(found)


def prepare(settings: Settings, layout: Layout, say: Callable[[str], None]) -> None:
    """Makes the images that nodes of what is on offer start from, where they are missing; fills our mirror if used.

    Blocks for minutes at first, and for a moment later. Raises :class:`ccx.errors.CcxError`.
    """
    if any(c.type == "local" and not c.stock for c in settings.clouds):
        for kind in baked(settings):
            if image.find_image(kind) is None:
                image.ensure_image(kind, say=say)
    if not any(c.type == "local" and c.stock for c in settings.clouds):
        return
    with ThreadPoolExecutor(2) as pool:  # one waits for the archive while the other unpacks
        made = [pool.submit(image.ensure_image, "stock", say=say)]
        if wanted(settings, layout):
            made.append(pool.submit(packages.ensure_packages, settings, say))
        for work in made:
            work.result()
    if wanted(settings, layout):
        if not layout.mirror_key.exists() or layout.mirror_key.read_text() != packages.public_key():
            layout.mirror_key.write_text(packages.public_key())
        layout.mirror_key.chmod(0o644)


class PackageMirror:
    """Serves what was fetched, read-only, as user ``ccx``, at an address of its own behind the nodes' router."""

    name = "packages"
    stop_signal = signal.SIGTERM
    stop_within = 5.0

    def __init__(self, layout: Layout, home: Path = packages.PACKAGES) -> None:
        self._layout = layout
        self._folder = home / "public"

    async def start(self) -> Process:
        place = self._layout.place
        await network.ensure_mirror(place)
        with (self._layout.logs / f"{self.name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                "ip", "netns", "exec", place.router_namespace,
                "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs",
                "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service", "--pdeathsig=TERM", "--",
                # As text: the user may not be able to read where we are installed.
                "/usr/bin/python3", "-I", "-c", _SERVER, str(self._folder), str(place.mirror), str(_PORT),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
            )  # fmt: skip

    async def ready(self) -> bool:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(str(self._layout.place.mirror), _PORT), 1)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def when_ready(self) -> None:
        """Nothing to do: it only answers."""
