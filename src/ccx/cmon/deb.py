"""A Debian binary package, written byte for byte the same from the same content. Needs no packaging tools."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

_EPOCH = 1_704_067_200
"""The time that every file carries: packages must not differ by when they were built."""


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = 0o644


def build(control: Mapping[str, str], files: Mapping[str, File], scripts: Mapping[str, str]) -> bytes:
    """The ``.deb``. ``files`` by absolute path; ``scripts`` are the maintainer scripts (``postinst`` …)."""
    size = sum(len(file.content) for file in files.values()) // 1024 + 1
    fields = {**control, "Installed-Size": str(size)}
    about = {"control": File("".join(f"{name}: {value}\n" for name, value in fields.items()).encode())}
    about |= {name: File(script.encode(), 0o755) for name, script in scripts.items()}
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tar(about),
        "data.tar.gz": _tar({path.lstrip("/"): file for path, file in files.items()}),
    }
    return b"!<arch>\n" + b"".join(_ar_member(name, content) for name, content in members.items())


def _ar_member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{_EPOCH:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def _tar(files: Mapping[str, File]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder in _folders(files):
            entry = tarfile.TarInfo(f"./{folder}")
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, _EPOCH
            archive.addfile(entry)
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(f"./{path}")
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, _EPOCH
            archive.addfile(entry, io.BytesIO(file.content))
    return gzip.compress(raw.getvalue(), mtime=0)


def _folders(files: Mapping[str, File]) -> list[str]:
    folders = {""}
    for path in files:
        parts = path.split("/")[:-1]
        folders |= {"/".join(parts[: depth + 1]) for depth in range(len(parts))}
    return sorted(folders)
