"""The local cloud's package mirror: Debian's packages, under the paths where vendors have theirs.

Filled once by aptly and kept under ``/var/lib/ccx/packages``, for all instances on this machine. It is filled again
when the archive has a new release, or more is wanted of it; what others wanted stays.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccx.clouds.local import image
from ccx.clouds.local.locks import one_at_a_time
from ccx.clouds.local.recipe import SUITE
from ccx.errors import CcxError
from ccx.network.mirror.aptly import Aptly, Say
from ccx.network.mirror.keys import signing_key
from ccx.network.mirror.suites import Suite, suites
from ccx.network.mirror.sync import Upstream, sync

if TYPE_CHECKING:
    from ccx.settings import Settings

PACKAGES = Path("/var/lib/ccx/packages")
_EARLIER = {("mariadb", "10.11"): "bookworm"}
"""Where Debian has an older version of a vendor's, which a suite's path names."""
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def public_key(home: Path = PACKAGES) -> str:
    """What nodes trust, armoured. The key is made when there is none."""
    return signing_key(home / "key").public.read_text()


def ensure_packages(settings: Settings, say: Say, home: Path = PACKAGES) -> Path:
    """The folder to serve; fills it where it lacks something. Blocks for up to minutes.

    Without a way to the archive, what is there is served as it is. Raises :class:`CcxError` where nothing is.
    """
    wanted = suites(settings, (SUITE,))
    archive = image.mirror()
    with one_at_a_time(home):
        before = _filled(home)
        everything = _together(before.suites, wanted)
        try:
            release = image.release_of(archive)
        except (OSError, ValueError) as error:
            if before.suites == everything:
                say(f"packages: {archive} does not answer, serving those of {before.release}")
                return home / "public"
            raise CcxError(
                f"the Debian archive {archive} does not answer: {error}",
                remedy="Open the way to it, or set CCX_DEBIAN_MIRROR to a mirror in reach", status=503,
            ) from None  # fmt: skip
        if before == (now := _Filling(release, everything)):
            say(f"packages: those of {release} are there")
            return home / "public"
        started = time.monotonic()
        say(f"packages: filling {home} from {archive} ({SUITE}, {release})")
        sync(Aptly(home, say, (_architecture(),)), everything, lambda suite: stand_in(suite, archive), say)
        (home / "filled.json").write_text(json.dumps(asdict(now)))
        say(f"packages: filled in {time.monotonic() - started:.0f} s")
    return home / "public"


def stand_in(suite: Suite, archive: str) -> Upstream:
    """Debian's own suite, for its own and for vendors' that can't be reached from everywhere."""
    if suite.base:
        folder = f"{archive}-security" if suite.path == "/debian-security" else archive
        return Upstream(folder, suite.suite, suite.components, _KEYRING)
    for (vendor, version), release in _EARLIER.items():
        if suite.vendor == vendor and version in suite.path.split("/"):
            return Upstream(archive, release, suite.components, _KEYRING)
    return Upstream(archive, SUITE, suite.components, _KEYRING, whole=False)


def _architecture() -> str:
    asked = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


@dataclass(frozen=True)
class _Filling:
    release: str = ""
    suites: tuple[Suite, ...] = ()


def _filled(home: Path) -> _Filling:
    """What it holds; nothing where that is not known."""
    try:
        noted = json.loads((home / "filled.json").read_text())
        return _Filling(noted["release"], tuple(_suite(facts) for facts in noted["suites"]))
    except (OSError, ValueError, KeyError, TypeError):
        return _Filling()


def _suite(facts: dict[str, Any]) -> Suite:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    return Suite(**values)


def _together(some: Iterable[Suite], others: Iterable[Suite]) -> tuple[Suite, ...]:
    """Every suite once, with all packages that are wanted of it."""
    found: dict[Suite, set[str]] = {}
    for suite in (*some, *others):
        found.setdefault(replace(suite, packages=()), set()).update(suite.packages)
    whole = (replace(suite, packages=tuple(sorted(packages))) for suite, packages in found.items())
    return tuple(sorted(whole, key=lambda s: (s.base, s.row, s.path, s.suite)))
