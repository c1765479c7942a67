"""The APT part of a mirror: every suite with what has to be in it, for given settings and releases. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccx.errors import Invalid
from ccx.network import catalogue
from ccx.network.mirror.repository import DISTRIBUTIONS, Repository, needed
from ccx.network.mirror.sources import url

if TYPE_CHECKING:
    from ccx.settings import Settings


@dataclass(frozen=True)
class Suite:
    """One suite of one repository. The same repository and suite for several versions is one."""

    row: str
    """Of the contract."""
    vendor: str
    """Empty for what all datastores use."""
    release: str
    """Of the nodes' operating system: ``noble``."""
    url: str
    """At the vendor."""
    path: str
    """At the mirror: the vendor's own."""
    suite: str
    components: tuple[str, ...]
    packages: tuple[str, ...]
    """What nodes install by name. Dependencies come on top; for a base, whatever the others depend on."""
    base: bool
    key: str
    """Id of the row of its signing key; empty where the operating system brings it."""
    keyring: str

    @property
    def name(self) -> str:
        """Unique in a mirror."""
        return f"{self.path}-{self.suite}".strip("/").replace("/", "-")


def releases_of(settings: Settings) -> tuple[str, ...]:
    """The releases that nodes run on these settings' clouds, as far as the settings tell: the local cloud's, and
    Ubuntu's long-term one elsewhere."""
    local = any(cloud.type == "local" and cloud.stock for cloud in settings.clouds)
    elsewhere = settings.kubernetes.enabled or any(c.stock and c.type != "local" for c in settings.clouds)
    return ("trixie",) * local + ("noble",) * elsewhere


def suites(settings: Settings, releases: Sequence[str] = ()) -> tuple[Suite, ...]:
    """All suites, sorted. ``releases`` are :func:`releases_of` the settings unless given.

    Raises Invalid for a release that nothing is known of.
    """
    found: dict[tuple[str, str, str], Suite] = {}
    unmirrored = settings.model_copy(update={"mirror": type(settings.mirror)()})
    for release in releases or releases_of(settings):
        if (distribution := DISTRIBUTIONS.get(release)) is None:
            known = ", ".join(DISTRIBUTIONS)
            raise Invalid(f"there is no release {release!r}", field="release", remedy=f"Releases are: {known}")
        for entry in needed(settings):
            if distribution in entry.distributions:
                for version in entry.versions(settings):
                    for made in _suites(entry, version, release, distribution, unmirrored):
                        key = (made.row, made.path, made.suite)
                        found[key] = _merged(found.get(key), made)
    return tuple(sorted(found.values(), key=lambda s: (s.base, s.row, s.path, s.suite)))


def unknown(settings: Settings) -> tuple[Repository, ...]:
    """Repositories that nodes need and whose suites their vendor doesn't tell: to be asked for."""
    return tuple(entry for entry in needed(settings) if not entry.suites)


def _suites(entry: Repository, version: str, release: str, distribution: str, settings: Settings) -> list[Suite]:
    endpoint = catalogue.load()[entry.row]
    target = endpoint.targets(settings)[0]
    words = {"codename": release, "distribution": distribution, "version": version}
    below = entry.path.format(**words)
    return [
        Suite(
            entry.row, entry.vendor, release, url(target, endpoint, below),
            "/".join(part for part in (target.path.rstrip("/"), below) if part), suite.format(**words),
            entry.components, entry.packages_of(version), entry.base, entry.key, entry.keyring,
        )
        for suite in entry.suites
    ]  # fmt: skip


def _merged(one: Suite | None, other: Suite) -> Suite:
    if one is None:
        return other
    packages = tuple(dict.fromkeys([*one.packages, *other.packages]))
    return Suite(**{**other.__dict__, "packages": packages})
