"""Fills a mirror: vendors' suites first, then of the operating systems' what those depend on. Blocks.

It may be broken off at any moment, and goes on from there when it is called again: what is served changes only when
everything that a suite needs is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ccx.errors import Invalid
from ccx.network.mirror.aptly import Aptly, Say
from ccx.network.mirror.suites import Suite

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")


@dataclass(frozen=True)
class Upstream:
    """Where a suite is fetched from: from its vendor, or from something that stands in for it."""

    url: str
    suite: str
    components: tuple[str, ...]
    keyring: Path
    whole: bool = True
    """It has what its packages depend on, as far as that is not the operating system's."""


def sync(
    aptly: Aptly, wanted: Sequence[Suite], upstream: Callable[[Suite], Upstream], say: Say, *,
    base_packages: Iterable[str] = (),
) -> None:  # fmt: skip
    """Brings the mirror up to date with ``wanted``, and publishes it.

    ``base_packages`` are wanted of the operating systems on top of what the others depend on. Raises
    :class:`ccx.errors.CcxError` when an upstream does not answer or its signature is wrong; what was fetched stays.
    """
    if not wanted:
        raise Invalid("no node needs a package under these settings", remedy="Name the cloud and vendors in them")
    aptly.open()
    ready: dict[Suite, Mapping[str, str]] = {}
    names: dict[str, set[str]] = {suite.release: set(base_packages) for suite in wanted}
    for suite in wanted:
        if not suite.base:
            ready[suite] = _fetch(aptly, suite, upstream(suite), suite.packages, say)
            missing = set(suite.packages)
            for mirror in ready[suite].values():
                names[suite.release] |= dependencies(aptly.packages(mirror, "{{.PreDepends}}, {{.Depends}}"))
                missing -= set(aptly.packages(mirror, "{{.Package}}"))
            names[suite.release] |= missing  # vendors leave to the operating system what that has already
    for suite in (suite for suite in wanted if suite.base):
        asked = sorted(names[suite.release] | set(suite.packages))
        ready[suite] = _fetch(aptly, suite, upstream(suite), asked, say)
        for mirror in ready[suite].values():  # of what is there, updates and other components want the newer ones too
            names[suite.release] |= set(aptly.packages(mirror, "{{.Package}}"))
    for suite, mirrors in ready.items():
        say(f"publishing {suite.path} {suite.suite}")
        aptly.publish(suite.path, suite.suite, mirrors)
    aptly.tidy()


def dependencies(fields: Iterable[str]) -> set[str]:
    """The names in dependency fields; of alternatives the first, which is what apt takes too."""
    found = set()
    for text in fields:
        for group in text.replace("<no value>", "").split(","):
            if match := _NAME.match(group.split("|")[0].strip()):
                found.add(match[0])
    return found


def _fetch(aptly: Aptly, suite: Suite, source: Upstream, packages: Sequence[str], say: Say) -> dict[str, str]:
    """Its mirrors by component. Those that come last go first: what they depend on may be in an earlier one."""
    if not packages:
        raise Invalid(f"nothing is known to be wanted of {suite.row}", field=suite.row)
    say(f"fetching {suite.path} {suite.suite} from {source.url} {source.suite}")
    mirrors = {}
    for component, origin in reversed(list(zip(suite.components, source.components, strict=True))):
        mirrors[component] = f"{suite.name}-{component}"
        aptly.mirror(
            mirrors[component], source.url, source.suite, origin, source.keyring, packages,
            with_dependencies=source.whole,
        )  # fmt: skip
    return dict(reversed(mirrors.items()))
