"""The object store of MariaDB's backups, through rclone, which encrypts what it sends and decrypts what it gets.

Keys are in rclone's configuration alone, which only the server's user reads. Nothing is ever laid down on this node.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

REMOTE = "store"
"""What rclone's configuration calls the encrypted part of the bucket that is ours."""
_NOWHERE = 3
"""rclone's exit code where there is nothing of that name."""
_CHUNK, _PARTS = 16 << 20, 9000
"""Bytes of a part of an upload at least, and how many parts there are at most; S3 takes 10,000."""
_WHEN = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", re.MULTILINE)
_REQUEST = re.compile(r",? request id: [^,\s]*,?( host id:)?")
WIDE = 1 << 20
"""Bytes that a pipe takes on the way to the store or from it, and of a piece: what is in between changes less often."""
_DAMAGE = (
    "failed to authenticate", "not an encrypted file", "bad magic", "too short", "unexpected EOF", "truncated",
)  # fmt: skip
_WITH_US = ("setpriv", "--pdeathsig=KILL", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"')
"""Whose child it is follows, and what is run: killed when that one ends, and not begun where it has ended already."""
_RETRIES = 12
_PATIENCE = ("--contimeout=10s", "--timeout=60s", "--retries=1")
"""A store that restarts is waited for, a minute or two."""


class StoreFailed(Exception):
    """rclone gave up; in its own words."""


class Damaged(StoreFailed):
    """The object is there, and is not what was stored."""


class Store:
    """``told``: ``rclone``, its configuration's path; ``ca``, of the store's CA; empty: one that systems know.

    ``unchecked``: the store's certificate is not checked at all. ``retries``: how often a store is asked that is away.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        ca = (f"--ca-cert={told['ca']}",) if told.get("ca") else ()
        ca = ("--no-check-certificate",) if told.get("unchecked") else ca
        retries = f"--low-level-retries={told.get('retries', _RETRIES)}"
        self._command = ["rclone", f"--config={told['rclone']}", "--log-level=ERROR", retries, *_PATIENCE, *ca]

    def names(self, under: str) -> list[str]:
        """Of all objects below, without ``under``."""
        listed = self._run(["lsf", "-R", "--files-only", _place(under)], absent=b"")
        return sorted(line for line in listed.decode().splitlines() if line)

    def documents(self, under: str, name: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
        """The content of ``name`` in each folder below: a line of JSON each. And what is wrong with those that are
        damaged, by their folders: they must not keep anybody from the others."""
        try:
            read = self._run(["cat", _place(under), "--include", f"/*/{name}"], absent=b"")
            return [json.loads(line) for line in read.decode().splitlines() if line], {}
        except (Damaged, ValueError):
            return self._one_by_one(under, name)

    def _one_by_one(self, under: str, name: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
        whole, damaged = [], {}
        for folder, _, file in (path.partition("/") for path in self.names(under)):
            if file == name:
                try:
                    whole.append(json.loads(self._run(["cat", _place(f"{under}/{folder}/{name}")])))
                except Damaged:
                    damaged[folder] = f"{folder}/{name} can't be decrypted: it is not what was stored"
                except ValueError:
                    damaged[folder] = f"{folder}/{name} is not what was stored"
        return whole, damaged

    def put(self, name: str, content: bytes) -> None:
        self._run(["rcat", _place(name)], content)

    def upload(self, name: str, expected: int) -> subprocess.Popen[bytes]:
        """A process that stores what it reads. Ended by :func:`end` before its input ends, it stores nothing.

        It is killed with us: to it the end of its input is the end of the object, and a part of one would be stored
        under the name of the whole. ``expected``: bytes at most, about.
        """
        chunk = max(_CHUNK, -(-expected // _PARTS))
        words = [*_WITH_US, str(os.getpid()), *self._command, f"--s3-chunk-size={chunk}B", "rcat", _place(name)]
        return subprocess.Popen(
            words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(), cwd="/", pipesize=WIDE
        )

    def download(self, name: str) -> subprocess.Popen[bytes]:
        """A process that writes the object's content."""
        return subprocess.Popen(
            [*self._command, "cat", _place(name)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=_environment(), cwd="/", pipesize=WIDE,
        )  # fmt: skip

    def delete(self, under: str, names: Sequence[str]) -> None:
        """Those below. What is gone already is no trouble."""
        if not names:
            return
        with tempfile.NamedTemporaryFile("w", prefix="ccx-delete-") as listed:
            listed.write("".join(f"{name}\n" for name in names))
            listed.flush()
            self._run(["delete", _place(under), f"--files-from-raw={listed.name}"], absent=b"")

    def _run(self, words: Sequence[str], content: bytes = b"", absent: bytes | None = None) -> bytes:
        done = subprocess.run(
            [*self._command, *words], input=content, capture_output=True, check=False, env=_environment(), cwd="/"
        )
        if done.returncode == _NOWHERE and absent is not None:
            return absent
        if done.returncode:
            raise _failed(done.stderr)
        return done.stdout


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends an upload that is not to count: it takes back the parts that the store has."""
    process.terminate()
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def finish(process: subprocess.Popen[bytes]) -> None:
    """Waits until what was uploaded is stored, or what was downloaded was all. Raises :class:`StoreFailed`."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    said = process.stderr.read() if process.stderr is not None else b""
    if process.wait():
        raise _failed(said)


def _failed(said: bytes) -> StoreFailed:
    words = complaint(said)
    return (Damaged if any(one in words for one in _DAMAGE) else StoreFailed)(words)


def complaint(said: bytes) -> str:
    """Its last word, which may go over several lines; without when, and without what only the store could look up."""
    last = _WHEN.split(said.decode(errors="replace"))[-1]
    return _REQUEST.sub("", " ".join(last.split()))[:500] or "rclone failed without a word"


def pour(source: IO[bytes], upload: subprocess.Popen[bytes], each: Callable[[bytes], object]) -> bool:
    """All of ``source``; ``each`` is told of every piece on its way. False: the upload ended by itself, and failed."""
    assert upload.stdin is not None
    try:
        while data := source.read(WIDE):
            each(data)
            upload.stdin.write(data)
        upload.stdin.flush()
    except BrokenPipeError:
        return False
    return True


def _place(name: str) -> str:
    return f"{REMOTE}:{name}"


def _environment() -> dict[str, str]:
    """Nothing of AWS's own, which rclone would follow."""
    return {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "HOME": str(Path("/nonexistent"))}
