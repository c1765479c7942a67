"""Everything that has to be mirrored for given settings: suites and packages, keys, images, charts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ccx.network import catalogue
from ccx.network.endpoint import Endpoint
from ccx.network.kinds import Mirror
from ccx.network.mirror.sources import url
from ccx.network.mirror.suites import Suite, suites, unknown

if TYPE_CHECKING:
    from ccx.settings import Settings

_DIGEST = re.compile(r"(?P<name>[^@]+)@(?P<digest>sha256:[0-9a-f]{64})")
_FLOATING = ("", "latest")


class Kind(StrEnum):
    SUITE = "APT suite"
    PACKAGE = "package"
    KEY = "signing key"
    IMAGE = "image"
    CHART = "chart"


@dataclass(frozen=True)
class Artefact:
    """One thing that the mirror has to hold."""

    kind: Kind
    name: str
    version: str
    """As exactly as the settings say it; empty where they leave it to the vendor. A mirror knows: see ``verify``."""
    digest: str
    vendor: str
    """Whose datastores need it; empty: all, or the control plane."""
    release: str
    """Of the nodes' operating system, for packages."""
    origin: str
    """URL at the vendor."""
    path: str
    """Below the mirror's URL: the vendor's own."""
    row: str
    """Of the contract."""
    note: str = ""
    """What is left open, and how to close it."""


def artefacts(settings: Settings, releases: Sequence[str] = ()) -> list[Artefact]:
    """All of it, by kind and name. Raises Invalid for a release that nothing is known of."""
    wanted = suites(settings, releases)
    found = [*_apt(wanted), *_open(settings), *_keys(settings, wanted), *_images(settings), *_charts(settings)]
    order = list(Kind)
    return sorted(found, key=lambda a: (order.index(a.kind), a.vendor, a.row, a.release, a.name))


def _apt(wanted: Iterable[Suite]) -> Iterable[Artefact]:
    listed = set()
    for suite in wanted:
        yield Artefact(
            Kind.SUITE, f"{suite.suite} {' '.join(suite.components)}", "", "", suite.vendor, suite.release, suite.url,
            suite.path, suite.row, "of it, what the vendors' packages depend on" if suite.base else "",
        )  # fmt: skip
        for package in suite.packages:
            if (key := (suite.release, suite.path, package)) in listed:
                continue  # a suite and its updates are one
            listed.add(key)
            yield Artefact(
                Kind.PACKAGE, package, "", "", suite.vendor, suite.release, suite.url, suite.path, suite.row,
                "with what it depends on; the newest, unless you pin it in the mirror",
            )  # fmt: skip


def _open(settings: Settings) -> Iterable[Artefact]:
    for entry in unknown(settings):
        endpoint = catalogue.load()[entry.row]
        target = endpoint.targets(_unmirrored(settings))[0]
        yield Artefact(
            Kind.SUITE, "?", "", "", entry.vendor, "", url(target, endpoint), target.path, entry.row,
            "its vendor doesn't tell the suites: ask for them, or mirror the host as it is",
        )  # fmt: skip


def _keys(settings: Settings, wanted: Iterable[Suite]) -> Iterable[Artefact]:
    """Vendors' keys: whoever fills the mirror checks with them, whomever the nodes trust."""
    rows = {suite.key: suite.vendor for suite in wanted if suite.key}
    rows |= {entry.key: entry.vendor for entry in unknown(settings) if entry.key}
    for id_, vendor in rows.items():
        endpoint = catalogue.load()[id_]
        target = endpoint.targets(_unmirrored(settings))[0]
        name = target.path.rpartition("/")[2] or target.host
        yield Artefact(Kind.KEY, name, "", "", vendor, "", url(target, endpoint), target.path, id_)


def _images(settings: Settings) -> Iterable[Artefact]:
    """Those that the values name exactly; of the others, what the registry's row is for."""
    named = set()
    for _, reference in settings.kubernetes.images:
        digest = _DIGEST.fullmatch(reference)
        name, _, tag = (digest["name"] if digest else reference).rpartition(":")
        if "/" in tag or not name:
            name, tag = (digest["name"] if digest else reference), ""
        if reference in named:
            continue
        named.add(reference)
        note = "" if digest or tag not in _FLOATING else "it moves: name a version or a digest"
        yield Artefact(Kind.IMAGE, name, tag, digest["digest"] if digest else "", "", "", f"https://{reference}",
                       f"/{name.split('/', 1)[-1]}", "images.named", note)  # fmt: skip
    yield from _rows(settings, Mirror.IMAGE_REGISTRY, Kind.IMAGE, "name it in the values to have its version here")


def _charts(settings: Settings) -> Iterable[Artefact]:
    yield from _rows(settings, Mirror.CHART_REPOSITORY, Kind.CHART, "the version is the parent chart's to say")


def _rows(settings: Settings, kind: Mirror, as_kind: Kind, note: str) -> Iterable[Artefact]:
    plain = _unmirrored(settings)
    for endpoint in catalogue.load().values():
        if endpoint.mirror is kind and endpoint.needed(settings):
            for target in endpoint.targets(plain):
                yield Artefact(as_kind, _what(endpoint), _version(endpoint), "", "", "", url(target, endpoint),
                               target.path, endpoint.id, "" if _version(endpoint) else note)  # fmt: skip


def _what(endpoint: Endpoint) -> str:
    return endpoint.purpose.removeprefix("chart ").partition(", at install")[0]


def _version(endpoint: Endpoint) -> str:
    """The tag that the specification names with the image, as in ``mysql:8.4`` and ``(v0.15.0)``."""
    found = re.search(r":([\w.-]+)\)|\((v[\d.]+)\)", endpoint.purpose)
    return next((group for group in found.groups() if group), "") if found else ""


def _unmirrored(settings: Settings) -> Settings:
    kubernetes = settings.kubernetes.model_copy(update={"image_registry": ""})
    return settings.model_copy(update={"mirror": type(settings.mirror)(), "kubernetes": kubernetes})
