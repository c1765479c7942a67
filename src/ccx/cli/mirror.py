"""``ccx mirror``: what stands in, inside the fence, for vendors' repositories, registries and charts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from ccx.cli.exits import Exit
from ccx.cli.network_settings import DEFAULT, SettingsFrom
from ccx.cli.options import Output
from ccx.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccx.cli.output import Column
    from ccx.settings import Settings

app = App(name="mirror", help="What stands in, inside the fence, for vendors' repositories.", help_epilogue="")

Printed = Annotated[Output, Parameter(name=["--output", "-o"], help="How the result is printed.")]
Releases = Annotated[
    list[str] | None,
    Parameter(name="--release", negative=(), help="Release of the nodes' system, such as noble; may be repeated."),
]
Architecture = Annotated[str, Parameter(help="Of the nodes.")]

_HOME = Path("/var/lib/ccx/mirror")
_PLAN: list[Column] = [
    ("KIND", "kind"), ("NAME", "name"), ("VERSION", "version"), ("DIGEST", "digest"), ("VENDOR", "vendor"),
    ("RELEASE", "release"), ("ORIGIN", "origin"), ("PATH", "path"), ("NOTE", "note"),
]  # fmt: skip
_VERIFY: list[Column] = [
    ("", lambda f: "missing" if f["problem"] else "ok"), ("PATH", "path"), ("SUITE", "suite"), ("PACKAGE", "name"),
    ("VERSION", "version"), ("PROBLEM", "problem"), ("REMEDY", "remedy"),
]  # fmt: skip


@app.command
def plan(
    *,
    release: Releases = None,
    versions: Annotated[
        bool, Parameter(negative=(), help="Ask the repositories for packages' exact versions and digests.")
    ] = False,
    architecture: Architecture = "amd64",
    format: Annotated[
        str, Parameter(help="As configuration instead: apt-cacher-ng, nexus (REST bodies), nexus-nginx.")
    ] = "",
    settings: SettingsFrom = DEFAULT,
    output: Printed = Output.TABLE,
) -> None:
    """List everything to mirror: APT suites and packages, signing keys, images and charts.

    Versions are as exact as the settings are; --versions asks the mirror, or the vendors where none is set.

    Try:
      ccx mirror plan --values ccx.yaml --values ccxdeps.yaml
      ccx mirror plan --values ccx.yaml --versions --output json
      ccx mirror plan --values ccx.yaml --format apt-cacher-ng
    """
    import asyncio
    from dataclasses import asdict

    from ccx.cli.output import rows
    from ccx.network.mirror.artefacts import artefacts
    from ccx.network.mirror.verify import with_versions

    given = _settings(settings)
    if format:
        sys.stdout.write(_configuration(format, given, release or ()))
        return
    found = artefacts(given, release or ())
    if versions:
        found = asyncio.run(with_versions(given, found, release or (), architecture))
    items = [{**asdict(artefact), "kind": artefact.kind.value} for artefact in found]
    rows(items, _PLAN, output, empty="Nothing has to be mirrored: nodes start with their packages inside.")


@app.command
def sync(
    *,
    to: Annotated[Path, Parameter(help="Folder of aptly's pool, database and key, and of what is served.")] = _HOME,
    release: Releases = None,
    architecture: Architecture = "amd64",
    upstream: Annotated[
        list[str] | None,
        Parameter(negative=(), help="Fetch a row's packages elsewhere: packages.postgresql=https://…"),
    ] = None,
    vendor_keys: Annotated[
        Path | None, Parameter(help="Check what is fetched with the keys in this file, not with the vendors' own.")
    ] = None,
    settings: SettingsFrom = DEFAULT,
) -> None:
    """Fill an APT mirror with what nodes need, and publish it under the vendors' own paths.

    It is aptly's work, and goes on where it was broken off. Serve the folder "public" in it, for example with nginx.
    The folder "alternatives" holds configuration for apt-cacher-ng and Nexus instead.

    Try:
      ccx mirror sync --values ccx.yaml --to /srv/mirror
      ccx mirror sync --values ccx.yaml --release noble --release jammy
    """
    import asyncio

    from ccx.cli.output import say
    from ccx.network.mirror.aptly import Aptly
    from ccx.network.mirror.suites import suites
    from ccx.network.mirror.sync import sync as fill
    from ccx.network.mirror.vendors import upstreams

    given = _settings(settings)
    wanted = list(suites(given, release or ()))
    instead = dict(_pair(text) for text in upstream or ())
    aptly = Aptly(to.absolute(), say, (architecture,), given.egress_proxy)
    aptly.open()
    _write_alternatives(to / "alternatives", given, release or ())
    source = asyncio.run(upstreams(given, wanted, to.absolute(), say, instead=instead, keys=vendor_keys))
    fill(aptly, wanted, source, say)
    (aptly.public / "mirror.asc").write_text(aptly.key.public.read_text())
    say(f"{aptly.public} is what has to be served; in the settings: mirror.packages, its URL, and")
    say(f"mirror.key, a file with the key that signs it ({aptly.key.public}, {aptly.key.fingerprint})")


@app.command
def verify(
    *,
    release: Releases = None,
    architecture: Architecture = "amd64",
    settings: SettingsFrom = DEFAULT,
    output: Printed = Output.TABLE,
) -> int:
    """Compare what the mirror serves with the plan: signatures, suites, packages, and their files.

    Asks where nodes would: at mirror.packages, or at the vendors where that is not set. Ends with 1 when something
    is missing or wrong.

    Try:
      ccx mirror verify --values ccx-mirrored.yaml
      ccx mirror verify --instance default --output json
    """
    import asyncio
    from dataclasses import asdict

    from ccx.cli.output import rows, say
    from ccx.network.mirror.verify import verify as compare

    found = asyncio.run(compare(_settings(settings), release or (), architecture))
    rows([asdict(finding) for finding in found], _VERIFY, output, empty="Nothing has to be mirrored.")
    missing = sum(bool(finding.problem) for finding in found)
    if missing:
        say(f"{missing} of {len(found)} are missing or wrong")
    return Exit.FAILED if missing else Exit.OK


def _settings(given: SettingsFrom) -> Settings:
    found = given.given().plan.settings
    assert found is not None, "a plan of settings has them"
    return found


def _configuration(fmt: str, settings: Settings, releases: Sequence[str]) -> str:
    from ccx.network.mirror import alternatives
    from ccx.network.mirror.suites import suites

    formats: dict[str, Any] = {
        "apt-cacher-ng": alternatives.apt_cacher_ng, "nexus": alternatives.nexus,
        "nexus-nginx": alternatives.nexus_nginx,
    }  # fmt: skip
    if fmt not in formats:
        raise Invalid(f"there is no format {fmt!r}", field="format", remedy=f"Formats are: {', '.join(formats)}")
    return str(formats[fmt](suites(settings, releases)))


def _write_alternatives(folder: Path, settings: Settings, releases: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for fmt, name in (("apt-cacher-ng", "apt-cacher-ng.conf"), ("nexus", "nexus.json"), ("nexus-nginx", "nginx.conf")):
        (folder / name).write_text(_configuration(fmt, settings, releases))


def _pair(text: str) -> tuple[str, str]:
    row, equals, url = text.partition("=")
    if not equals or not url.startswith(("http://", "https://")):
        raise Invalid(f"{text!r} names no other URL", field="--upstream", remedy="Write packages.postgresql=https://…")
    return row, url
