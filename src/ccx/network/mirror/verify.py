"""Compares what a mirror serves with what nodes will ask of it: signatures, suites, packages and their files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from ccx.errors import CcxError
from ccx.network import catalogue
from ccx.network.mirror import keys as openpgp
from ccx.network.mirror.artefacts import Artefact, Kind
from ccx.network.mirror.index import Fetch, Package, Wrong, newest, read
from ccx.network.mirror.sources import url
from ccx.network.mirror.suites import Suite, suites

if TYPE_CHECKING:
    from ccx.network.endpoint import Endpoint
    from ccx.settings import Settings

Exists = Callable[[str], Awaitable[bool]]
"""Whether there is a file, by its path below the repository."""

_AT_ONCE = 4
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Finding:
    """A suite or package of the plan, and what is served of it."""

    path: str
    suite: str
    name: str
    """Empty: the suite itself."""
    release: str
    version: str
    digest: str
    problem: str
    """Empty: it is there, and right."""
    remedy: str
    row: str


@dataclass(frozen=True)
class _Served:
    suite: Suite
    packages: tuple[Package, ...]
    problem: CcxError | None
    missing_files: frozenset[str] = frozenset()


async def verify(settings: Settings, releases: Sequence[str] = (), architecture: str = "amd64") -> list[Finding]:
    """All of the APT plan, with what is served where nodes look for it: at the mirror, or at the vendors."""
    wanted = suites(settings, releases)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def look(suite: Suite) -> _Served:
        async with gate:
            return await _look(settings, suite, architecture)

    served = await asyncio.gather(*(look(suite) for suite in wanted))
    return [finding for one in served for finding in _findings(one, served)]


async def with_versions(
    settings: Settings, found: Sequence[Artefact], releases: Sequence[str] = (), architecture: str = "amd64"
) -> list[Artefact]:
    """The artefacts, packages with the version and digest that nodes would get now."""
    seen = {(f.row, f.path, f.release, f.name): f for f in await verify(settings, releases, architecture) if f.version}
    told = []
    for artefact in found:
        key = (artefact.row, artefact.path, artefact.release, artefact.name)
        match = seen.get(key) if artefact.kind is Kind.PACKAGE else None
        digest = f"sha256:{match.digest}" if match else artefact.digest
        told.append(replace(artefact, version=match.version, digest=digest, note="") if match else artefact)
    return told


async def _look(settings: Settings, suite: Suite, architecture: str) -> _Served:
    try:
        async with _fetching(settings, suite.row, suite.path) as (fetch, exists):
            keys = await _keys(settings, suite)
            packages = await read(fetch, suite.suite, suite.components, architecture, keys)
            named = [newest([p for p in packages if p.name == name]) for name in {p.name for p in packages}
                     & set(suite.packages)]  # fmt: skip
            there = await asyncio.gather(*(exists(package.path) for package in named))
            missing = frozenset(p.name for p, is_there in zip(named, there, strict=True) if not is_there)
            return _Served(suite, tuple(packages), None, missing)
    except CcxError as error:
        return _Served(suite, (), error)


def _findings(served: _Served, everything: Sequence[_Served]) -> list[Finding]:
    suite = served.suite

    def finding(name: str, package: Package | None, problem: str = "", remedy: str = "") -> Finding:
        version, digest = (package.version, package.sha256) if package else ("", "")
        return Finding(suite.path, suite.suite, name, suite.release, version, digest, problem, remedy, suite.row)

    if served.problem is not None:
        return [finding("", None, served.problem.err, served.problem.remedy or "")]
    found = [finding("", None)]
    for name in suite.packages:
        own = [package for package in served.packages if package.name == name]
        # Vendors leave to the operating system what that has; updates hold only what was updated.
        elsewhere = [p for other in everything if other.suite.release == suite.release and other.suite.base
                     for p in other.packages if p.name == name]  # fmt: skip
        if not own and not elsewhere:
            found.append(finding(name, None, "no suite of the mirror has it", "Fill it: ccx mirror sync"))
        elif name in served.missing_files:
            found.append(finding(name, newest(own), "it is listed, and its file is not there",
                                 "Fill the mirror again: ccx mirror sync"))  # fmt: skip
        elif own:
            found.append(finding(name, newest(own)))
    return found


async def _keys(settings: Settings, suite: Suite) -> bytes:
    """Those that nodes trust for it, as gpgv takes them. Raises CcxError where there is none to be had."""
    if settings.mirror.key:
        try:
            return await asyncio.to_thread(_ring, settings.mirror.key)
        except OSError as error:
            raise Wrong(f"the key {settings.mirror.key} can't be read: {error.strerror}", field="mirror.key") from None
    if not suite.key:
        try:
            return await asyncio.to_thread(_ring, suite.keyring)
        except OSError:
            raise Wrong(f"this machine lacks {suite.keyring}, which nodes trust for it",
                        remedy="Install the system's archive keyring here, or set mirror.key") from None  # fmt: skip
    target = catalogue.load()[suite.key].targets(settings)[0]
    async with _fetching(settings, suite.key, target.path) as (fetch, _):
        if (key := await fetch("")) is None:
            raise Wrong(f"there is no signing key at {target.host}{target.path}",
                        remedy="Put the vendor's key there, or set mirror.key")  # fmt: skip
    return await asyncio.to_thread(openpgp.binary, key)


def _ring(path: str) -> bytes:
    return openpgp.binary(Path(path).read_bytes())


@asynccontextmanager
async def _fetching(settings: Settings, row: str, path: str) -> AsyncIterator[tuple[Fetch, Exists]]:
    endpoint: Endpoint = catalogue.load()[row]
    target = endpoint.targets(settings)[0]
    base = url(replace(target, path=path), endpoint)
    async with endpoint.client(settings, timeout=_TIMEOUT_S, follow_redirects=True) as http:

        async def ask(method: str, below: str) -> httpx.Response:
            where = f"{base}/{below}" if below else base
            try:
                return await http.request(method, where)
            except httpx.HTTPError as error:
                raise Wrong(f"{where} does not answer: {error or type(error).__name__}",
                            remedy=f"Open {target.host}:{target.port}, or name another mirror") from None  # fmt: skip

        async def fetch(below: str) -> bytes | None:
            answer = await ask("GET", below)
            if answer.status_code == 404:
                return None
            if answer.is_error:
                raise Wrong(f"{answer.url} answers {answer.status_code}", remedy="See the mirror's own log")
            return answer.content

        async def exists(below: str) -> bool:
            return (await ask("HEAD", below)).is_success

        yield fetch, exists
