"""Drives aptly: mirrors of suites, snapshots of them, and their publication under a path of our choice. Blocks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ccx.errors import CcxError, Invalid
from ccx.network.mirror.gpg import Gpg
from ccx.network.mirror.keys import SigningKey, signing_key

Say = Callable[[str], None]

_QUEUE = re.compile(r"Download queue: (\d+) items \((.+)\)")
_FETCHED = re.compile(r"Success downloading .*/pool/|Success downloading .*\.u?deb$")
_UNSIGNED = re.compile(r"(Can't check|BAD) signature")
_EVERY_S = 2.0
_ORIGIN = "CCX"


class Aptly:
    """One aptly in ``home``: its pool, database and ``public`` folder, and the key that it signs with."""

    def __init__(self, home: Path, say: Say, architectures: Sequence[str] = ("amd64",), proxy: str = "") -> None:
        """``proxy`` is the URL of the proxy that it fetches by."""
        self.home = home
        self._say = say
        self._architectures = ",".join(architectures)
        self._proxy = proxy

    @property
    def public(self) -> Path:
        """What a web server has to serve."""
        return self.home / "public"

    @property
    def key(self) -> SigningKey:
        return signing_key(self.home / "key")

    def open(self) -> None:
        """Makes its folder and configuration. Raises :class:`CcxError` where aptly is not installed."""
        if shutil.which("aptly") is None:
            raise CcxError("aptly is not installed", remedy="apt-get install aptly", status=503)
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Invalid(
                f"can't make {self.home}: {error.strerror}", field="--to", remedy="Name another folder"
            ) from None
        configuration = {
            "rootDir": str(self.home), "downloadConcurrency": 8, "downloadRetries": 3, "gpgProvider": "gpg",
            "dependencyFollowAllVariants": False, "FileSystemPublishEndpoints": {},
        }  # fmt: skip
        (self.home / "aptly.conf").write_text(json.dumps(configuration, indent=2) + "\n")

    def mirror(
        self, name: str, url: str, suite: str, component: str, keyring: Path, packages: Sequence[str], *,
        with_dependencies: bool,
    ) -> None:  # fmt: skip
        """Brings the mirror up to date: of the suite, these packages. What an earlier call fetched is kept.

        Components are taken at their word: Debian's security suite calls its own ``updates/main``.
        """
        query = " | ".join(packages)
        filters = [f"-filter={query}", *(["-filter-with-deps"] if with_dependencies else [])]
        if name in self.names("mirror"):
            # A filter can be changed, and a mirror that is being updated by nobody any more is taken over.
            self.run("mirror", "edit", *filters, name)
        else:
            self.run(
                "mirror", "create", "-force-components", f"-keyring={keyring}",
                f"-architectures={self._architectures}", *filters, name, f"{url.rstrip('/')}/", suite, component,
            )  # fmt: skip
        with self._progress(name) as watch:
            self.run("mirror", "update", "-force", f"-keyring={keyring}", name, watch=watch)

    def packages(self, mirror: str, fields: str, query: str = "") -> list[str]:
        """A line for each package in the mirror, of these fields (``{{.Package}} {{.Version}}``)."""
        try:
            found = self.run("mirror", "search", f"-format={fields}", mirror, *([query] if query else []))
        except CcxError as failure:
            if failure.err.endswith("no results"):  # a mirror with nothing in it that is wanted
                return []
            raise
        return [line for line in found.splitlines() if line]

    def publish(self, path: str, suite: str, mirrors: Mapping[str, str]) -> None:
        """Publishes snapshots of mirrors, by component, as ``suite`` below ``path``; replaces what stood there."""
        made = {}
        for component, mirror in mirrors.items():
            made[component] = f"{mirror}@{time.time_ns()}"
            self.run("snapshot", "create", made[component], "from", "mirror", mirror)
        components = f"-component={','.join(made)}"
        signed = ["-batch", f"-gpg-key={self.key.fingerprint}"]
        prefix = path.strip("/") or "."
        with self._signing() as environment:
            if f"{prefix} {suite}" in self.names("publish"):
                command = ("publish", "switch", *signed, components, suite, prefix, *made.values())
            else:
                command = (
                    "publish", "snapshot", *signed, components, f"-distribution={suite}", f"-origin={_ORIGIN}",
                    "-label=CCX mirror", "-skip-contents", "-acquire-by-hash",
                    f"-architectures={self._architectures}", *made.values(), prefix,
                )  # fmt: skip
            self.run(*command, environment=environment)

    def tidy(self) -> None:
        """Forgets snapshots that nothing publishes any more, and frees what only they held."""
        for snapshot in self.names("snapshot"):
            self.run("snapshot", "drop", snapshot, check=False)
        self.run("db", "cleanup")

    def names(self, of: str) -> list[str]:
        """Of all mirrors, snapshots or publications (``prefix suite``)."""
        return self.run(of, "list", "-raw", quiet=True).splitlines()

    def run(
        self, *command: str, watch: Callable[[str], None] | None = None, check: bool = True, quiet: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Its output. Raises :class:`CcxError` with its complaint."""
        proxy = {"http_proxy": self._proxy, "https_proxy": self._proxy} if self._proxy else {}
        process = subprocess.Popen(
            ["aptly", f"-config={self.home / 'aptly.conf'}", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else subprocess.STDOUT, text=True, errors="replace",
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home), "LANG": "C.UTF-8", **proxy,
                 **(environment or {})},
        )  # fmt: skip
        assert process.stdout is not None, "a pipe was asked for"
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if watch:
                    watch(line.rstrip())
        except BaseException:
            process.terminate()  # it keeps what it has fetched
            process.wait()
            raise
        if process.wait() and check:
            raise _failed(command, [line.strip() for line in said if line.strip()])
        return "".join(said)

    @contextmanager
    def _signing(self) -> Iterator[dict[str, str]]:
        """The environment in which gpg finds the key. There is no agent and no home of gpg's afterwards."""
        with Gpg() as gpg:
            gpg.run("--import", str(self.key.secret))
            yield {"GNUPGHOME": gpg.home}

    @contextmanager
    def _progress(self, name: str) -> Iterator[Callable[[str], None]]:
        """Says how far the download is, every few seconds."""
        total, size, done, last = 0, "", 0, time.monotonic()

        def watch(line: str) -> None:
            nonlocal total, size, done, last
            if queue := _QUEUE.match(line):
                total, size = int(queue[1]), queue[2]
                self._say(f"  {name}: {total} packages to fetch ({size})" if total else f"  {name}: nothing to fetch")
            elif total and _FETCHED.match(line):
                done += 1
                if time.monotonic() - last > _EVERY_S:
                    last = time.monotonic()
                    self._say(f"  {name}: {done} of {total} packages")

        yield watch


def _failed(command: Sequence[str], said: Sequence[str]) -> CcxError:
    what = f"aptly {' '.join(command[:2])} failed"
    if unsigned := [line for line in said if _UNSIGNED.search(line)]:
        # It goes on to look for a detached signature, and complains of that.
        fetched = next((line.split()[-1].rstrip(".") for line in said if line.startswith("Downloading ")), "")
        return CcxError(
            f"{what}: {fetched} has no signature by a trusted key: {unsigned[-1].removeprefix('gpgv: ')}", status=502,
            remedy="Give the keys that sign it (--vendor-keys FILE); if they are right, trust nothing from there",
        )  # fmt: skip
    errors = [line.removeprefix("ERROR:").strip() for line in said if line.startswith("ERROR")]
    reason = (errors or list(said) or ["no reason given"])[-1]
    return CcxError(f"{what}: {reason}", remedy="Try again: it goes on from here", status=502)
