"""What an APT suite says of itself: its signed release, and the packages in it. Everything is checked before use."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import re
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path

from ccx.errors import CcxError

Fetch = Callable[[str], Awaitable[bytes | None]]
"""A file by its path below the repository; None where there is none."""

_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress, ".gz": gzip.decompress, ".bz2": bz2.decompress, "": lambda raw: raw,
}  # fmt: skip
_SUM = re.compile(r"^ ([0-9a-f]{64})\s+(\d+)\s+(\S+)$", re.MULTILINE)


class Wrong(CcxError):
    """A repository that can't be used as it is."""

    status = 502


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    sha256: str
    path: str
    size: int


async def read(fetch: Fetch, suite: str, components: Sequence[str], architecture: str, keys: bytes) -> list[Package]:
    """The packages of a suite. Raises :class:`Wrong`, saying what is, for one that is not there, not signed by one of
    ``keys`` (binary), or not what its signed release says."""
    release = await fetch(f"dists/{suite}/InRelease")
    if release is None:
        raise Wrong(f"there is no suite {suite}", remedy="Publish it: ccx mirror sync")
    sums = _sums(verified(release, keys))
    found: list[Package] = []
    for component in components:
        found += _parsed(await _index(fetch, suite, f"{component}/binary-{architecture}/Packages", sums))
    return found


def newest(packages: Sequence[Package]) -> Package:
    """The one that apt would take."""

    def order(one: Package, other: Package) -> int:
        return compare(one.version, other.version)

    return max(packages, key=cmp_to_key(order))


def verified(release: bytes, keys: bytes) -> str:
    """The text that is signed. Raises :class:`Wrong` unless one of ``keys`` has signed it."""
    with tempfile.TemporaryDirectory(prefix="ccx-gpgv-") as folder:
        keyring, signed, text = (Path(folder, name) for name in ("keys.gpg", "InRelease", "text"))
        keyring.write_bytes(keys)
        signed.write_bytes(release)
        try:
            done = subprocess.run(
                ["gpgv", "--quiet", "--keyring", str(keyring), "--output", str(text), str(signed)],
                capture_output=True, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise CcxError("gpgv is not installed", remedy="apt-get install gpgv", status=503) from None
        if done.returncode:
            said = [line.removeprefix("gpgv: ") for line in done.stderr.decode(errors="replace").splitlines()]
            raise Wrong(f"its signature is not good: {said[-1] if said else 'gpgv refuses it'}",
                        remedy="Name the key that signs it (mirror.key); if that is right, don't use it")  # fmt: skip
        return text.read_text()


def compare(one: str, other: str) -> int:
    """Below, at or above zero as Debian's version ``one`` is older than, the same as or newer than ``other``."""
    for mine, theirs in zip(_split(one), _split(other), strict=True):
        if result := _compare_part(mine, theirs):
            return result
    return 0


def _split(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return epoch, upstream if dash else rest, revision if dash else ""


def _compare_part(one: str, other: str) -> int:
    """Text and numbers in turns; a tilde sorts before everything, even before the end."""
    while one or other:
        mine, theirs = (re.match(r"\D*", text)[0] for text in (one, other))  # type: ignore[index]
        for a, b in zip(mine.ljust(len(theirs), "\0"), theirs.ljust(len(mine), "\0"), strict=True):
            if result := _weight(a) - _weight(b):
                return result
        one, other = one[len(mine) :], other[len(theirs) :]
        mine, theirs = (re.match(r"\d*", text)[0] for text in (one, other))  # type: ignore[index]
        if result := int(mine or 0) - int(theirs or 0):
            return result
        one, other = one[len(mine) :], other[len(theirs) :]
    return 0


def _weight(character: str) -> int:
    if character == "~":
        return -1
    if character == "\0":
        return 0
    return ord(character) + (0 if character.isalpha() else 256)


def _sums(release: str) -> dict[str, str]:
    _, _, listed = release.partition("SHA256:\n")
    return {path: digest for digest, _, path in _SUM.findall(listed)}


async def _index(fetch: Fetch, suite: str, path: str, sums: dict[str, str]) -> str:
    for ending, unpack in _UNPACK.items():
        if (expected := sums.get(path + ending)) is None:
            continue
        if (raw := await fetch(f"dists/{suite}/{path}{ending}")) is None:
            continue
        if hashlib.sha256(raw).hexdigest() != expected:
            raise Wrong(f"{path}{ending} is not what the signed release says", remedy="Fill the mirror again")
        return unpack(raw).decode()
    raise Wrong(f"there is no {path}", remedy="Fill the mirror for that component and architecture")


def _parsed(text: str) -> Iterator[Package]:
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if not line.startswith(" ") and ": " in line)
        if "Package" in fields:
            yield Package(fields["Package"], fields["Version"], fields.get("SHA256", ""), fields.get("Filename", ""),
                          int(fields.get("Size", 0)))  # fmt: skip
