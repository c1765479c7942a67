"""Installs what the node's engine needs, from the repositories that the control plane names, signatures checked."""

from __future__ import annotations

import fnmatch
import os
import platform
import re
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .durable import replace
from .errors import AgentError
from .files import ROOT
from .process import output
from .verb import Args, Progress, Verb, text, texts

SOURCES = "/etc/apt/sources.list.d/ccx.sources"
PREFERENCES = "/etc/apt/preferences.d/ccx.pref"
KEYS = "/etc/ccx/apt/keys"
_SYSTEMS_OWN = ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources",
                "/etc/apt/sources.list.d/ubuntu.sources")  # fmt: skip
_BEFORE = "/etc/ccx/apt/before"
_POLICY = "/usr/sbin/policy-rc.d"
_PREPARED = ("/etc/postgresql-common/*", "/etc/mysql/*")
_KEY_LIMIT = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_UNREACHABLE = "Let nodes reach it, or name a mirror of it (mirror.packages)"


def packages(args: Args, progress: Progress) -> dict[str, object]:
    """Installs those of ``packages`` that are missing; does nothing at all when none is. May be broken off anywhere.

    ``sources``: objects with ``name``, ``uri``, ``suites``, ``components``, ``distributions``, ``keyring``,
    ``key_url``, ``proxied`` and ``key_proxied``, and maybe ``pins``: pairs of packages and of the only version that is
    allowed of them, both by pattern; ``key``: public keys that sign all of them, instead of each one's own;
    ``proxy``: URL of the proxy that the proxied ones go by; ``files``: written first, objects with ``path`` and
    ``content``; ``off``: services that the packages bring along and that shall not run.
    """
    wanted = texts(args, "packages")
    if odd := [name for name in wanted if not _NAME.fullmatch(name)]:
        raise AgentError(f"{odd[0]!r} is no package's name")
    if not (missing := _missing(wanted)):
        if _policy().exists():  # a call that was broken off after its last package
            _finish(args)
        return {"installed": []}
    sources = _for_this_node(args)
    for file in args.get("files", []):
        _write(_prepared(text(file, "path")), text(file, "content"))
    _write(SOURCES, "\n".join(_stanza(source, args) for source in sources))
    _write(PREFERENCES, "\n".join(_pinned(*pin) for source in sources for pin in source.get("pins", [])))
    for path in _SYSTEMS_OWN:
        _put_aside(ROOT / path.lstrip("/"))
    options = _options()
    progress({"done": 0, "total": 100, "unit": "%", "note": "reading the repositories' lists"})
    with _by(_proxies(sources, text(args, "proxy", ""))) as environment:
        _update(options, sources, environment)
        _nothing_starts()
        output(["dpkg", "--configure", "-a", "--force-unsafe-io"])  # what an earlier call left half-done
        _install([*options, "install", "-y", "--no-install-recommends", *missing], sources, progress, environment)
    _finish(args)
    output(["apt-get", *options, "clean"])
    return {"installed": missing}


def _finish(args: Args) -> None:
    _switch_off(texts(args, "off"))
    _policy().unlink(missing_ok=True)


def _prepared(path: str) -> str:
    """The path, if it is one that packages read while they are set up."""
    if os.path.normpath(path) != path or not any(fnmatch.fnmatchcase(path, pattern) for pattern in _PREPARED):
        raise AgentError(f"{path} is not a file that packages are prepared by", f"allowed are {', '.join(_PREPARED)}")
    return path


def _missing(wanted: list[str]) -> list[str]:
    """Those that are not installed, whole."""
    listed = output(["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status}\n", *wanted], check=False)
    there = {line.split()[0].partition(":")[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in there]


def _for_this_node(args: Args) -> list[dict[str, Any]]:
    """The sources for this system, with its release filled in."""
    release = platform.freedesktop_os_release()
    words = {"{codename}": release.get("VERSION_CODENAME", ""), "{distribution}": release.get("ID", "")}
    found = []
    for source in args.get("sources", []):
        if words["{distribution}"] in source["distributions"]:
            filled = dict(source)
            for word, value in words.items():
                filled["uri"] = filled["uri"].replace(word, value)
                filled["suites"] = [suite.replace(word, value) for suite in filled["suites"]]
            found.append(filled)
    if not found:
        raise AgentError(
            f"none of the repositories is for {words['{distribution}']} {words['{codename}']}",
            "use an image of Debian or Ubuntu",
        )
    return found


def _stanza(source: dict[str, Any], args: Args) -> str:
    fields = {
        "X-CCX": source["name"],
        "Types": "deb",
        "URIs": source["uri"],
        "Suites": " ".join(source["suites"]),
        "Components": " ".join(source["components"]),
        "Signed-By": _key_file(source, args),
    }
    return "".join(f"{field}: {value}\n" for field, value in fields.items())


def _pinned(packages: str, version: str) -> str:
    """apt's preference: that version though there is a newer one, and none at all rather than another."""
    return "".join(
        f"Package: {packages}\nPin: version {of}\nPin-Priority: {priority}\n\n"
        for of, priority in ((version, 1001), ("*", -1))
    )


def _key_file(source: dict[str, Any], args: Args) -> str:
    """The file with the keys that sign it: the mirror's, the system's own, or the vendor's, fetched once."""
    if key := text(args, "key", ""):
        _write(f"{KEYS}/mirror.asc", key)
        return f"{KEYS}/mirror.asc"
    if source["keyring"]:
        return str(source["keyring"])
    name = source["name"].rpartition(".")[2]
    path = f"{KEYS}/{name}.{'gpg' if source['key_url'].endswith('.gpg') else 'asc'}"
    if not (ROOT / path.lstrip("/")).exists():
        proxy = text(args, "proxy", "") if source["key_proxied"] else ""
        _write(path, _fetched(source["name"], source["key_url"], proxy))
    return path


def _fetched(name: str, url: str, proxy: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {}))
    try:
        with opener.open(url, timeout=10) as answer:
            read: bytes = answer.read(_KEY_LIMIT)
            return read
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise AgentError(f"the signing key of {name} can't be fetched from {url}: {reason}",
                         "Let nodes reach it, or give the key yourself (mirror.key)") from None  # fmt: skip


def _options() -> list[str]:
    """Only our sources, and short patience."""
    options = {
        "Dir::Etc::SourceList": SOURCES, "Dir::Etc::SourceParts": "-", "Acquire::Languages": "none",
        "Acquire::Retries": "1", "Acquire::http::Timeout": "10", "Acquire::https::Timeout": "10",
        "APT::Update::Error-Mode": "any", "DPkg::Lock::Timeout": "120", "DPkg::Use-Pty": "0",
        "Dpkg::Options::": "--force-unsafe-io", "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
    }  # fmt: skip
    return ["-q", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]


def _proxies(sources: list[dict[str, Any]], proxy: str) -> str:
    """apt's configuration: the proxy for those that go by it, and none for the others."""
    lines: dict[str, None] = {}
    for source in sources:
        scheme, _, rest = source["uri"].partition("://")
        host = rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
        by = proxy if proxy and source["proxied"] else "DIRECT"
        lines[f'Acquire::{scheme}::Proxy::{host} "{by}";\n'] = None
    return "".join(lines)


@contextmanager
def _by(proxies: str) -> Iterator[dict[str, str]]:
    """The environment in which apt goes by them. In a file of root's: a proxy's URL may hold a password."""
    with tempfile.NamedTemporaryFile("w", prefix="ccx-apt-", dir=ROOT / "run") as file:
        file.write(proxies)
        file.flush()
        yield {**_environment(), "APT_CONFIG": file.name}


def _update(options: list[str], sources: list[dict[str, Any]], environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["apt-get", *options, "update"], capture_output=True, text=True, check=False, cwd="/", env=environment
    )
    if done.returncode:
        raise _complaint(done.stderr, sources, "its lists can't be read")


def _install(
    command: list[str], sources: list[dict[str, Any]], progress: Progress, environment: dict[str, str]
) -> None:
    """Runs apt-get, and hands on how far it is: fetching is the first half, unpacking and setting up the second."""
    reader, writer = os.pipe()
    with open(reader) as status, tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(
            ["apt-get", "-o", f"APT::Status-Fd={writer}", *command], pass_fds=(writer,), cwd="/", env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
        os.close(writer)
        try:
            last = -10
            for line in status:
                kind, name, percent, note = [*line.rstrip("\n").split(":", 3), "", "", ""][:4]
                if kind not in ("dlstatus", "pmstatus"):
                    continue
                done = int(float(percent or 0) / 2) + (50 if kind == "pmstatus" else 0)
                if done >= last + 10:
                    last = done
                    what = f"fetching {len(command)} packages" if kind == "dlstatus" else note or name
                    progress({"done": done, "total": 100, "unit": "%", "note": what})
            process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode:
            said.seek(0)
            raise _complaint(said.read(), sources, "packages can't be installed from it")


def _environment() -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
        "PERCONA_TELEMETRY_DISABLE": "1",
    }  # fmt: skip


def _complaint(said: str, sources: list[dict[str, Any]], else_wrong: str) -> AgentError:
    """apt's complaint, with the repository that it is about by the contract's name."""
    lines = [line.partition(": ")[2] for line in said.splitlines() if line.startswith(("E: ", "W: "))] or [said.strip()]
    signature = next((li for li in lines if re.search(r"sign|NO_PUBKEY|BADSIG|EXPKEYSIG|GPG", li)), "")
    about = signature or lines[0]
    named = next((source for source in sources if _is_about(about, source)), None)
    where = f"repository {named['name']} ({named['uri']})" if named else "the repositories"
    wrong = "it is not signed by the key that nodes trust" if signature else else_wrong
    remedy = "Give the key that signs it (mirror.key); if that is right, trust nothing from there" if signature else ""
    return AgentError(f"{where}: {wrong}: {about[:300]}", remedy or _UNREACHABLE)


def _is_about(line: str, source: dict[str, Any]) -> bool:
    return any(f"{source['uri']} {suite} " in line or f"{source['uri']}/dists/{suite}/" in line
               for suite in source["suites"]) or f"{source['uri']}/pool/" in line  # fmt: skip


def _put_aside(path: Path) -> None:
    """The image's own sources: behind a fence, nothing answers there, and every apt-get would wait for it."""
    if path.exists():
        kept = ROOT / _BEFORE.lstrip("/") / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, kept)


def _nothing_starts() -> None:
    """Packages start their services as soon as they are set up; ours are started by the control plane.

    It stays until all are there and those that shall not run are off, over calls that fail or are broken off too.
    """
    _policy().write_text("#!/bin/sh\nexit 101\n")
    _policy().chmod(0o755)


def _policy() -> Path:
    return ROOT / _POLICY.lstrip("/")


def _switch_off(units: list[str]) -> None:
    """Not at the next start either."""
    here = [unit for unit in units if (ROOT / "usr/lib/systemd/system" / f"{unit}.service").exists()]
    if here:
        output(["systemctl", "--no-reload", "disable", *(f"{unit}.service" for unit in here)])


def _write(path: str, content: str | bytes) -> None:
    target = ROOT / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    replace(target, content if isinstance(content, bytes) else content.encode(), mode=0o644, uid=0, gid=0)


VERBS = {"packages": Verb(packages, mutates=True)}
