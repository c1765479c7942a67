"""An instance's configuration as one sealed file: all of its ``/etc`` folder but the keys that a recovery copy holds.

Sealed with a key that is root's alone: the CA's and the packages' signing keys are in there, and a control plane that
was broken into must not get them from the copy either.
"""

from __future__ import annotations

import gzip
import hmac
import io
import os
import secrets
import shutil
import tarfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ccx.errors import CcxError, Invalid

FILE = "recovery/etc.sealed"
"""Below the instance's ``/var/lib`` folder; the control plane puts it into the object store."""
RECOVERING = "recovering"
"""A file of the ``/etc`` folder, while it is not whole."""
_LEFT_OUT = {"wrapping.key", "recovery.key", RECOVERING}
_DIGEST, _NONCE = 32, 12
_CONTEXT = b"ccx configuration 1"


def sealed(etc: Path, key: bytes) -> bytes:
    """Digest, nonce, ciphertext."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as out, tarfile.open(fileobj=out, mode="w") as archive:
        for path in sorted(etc.rglob("*")):
            name = str(path.relative_to(etc))
            if (
                name in _LEFT_OUT
                or name.startswith(".")
                or not (path.is_dir() or (path.is_file() and not path.is_symlink()))
            ):
                continue
            archive.add(path, name, recursive=False)
    plain, nonce = packed.getvalue(), secrets.token_bytes(_NONCE)
    return hmac.digest(key, plain, "sha256") + nonce + AESGCM(key).encrypt(nonce, plain, _CONTEXT)


def same(one: bytes, other: bytes) -> bool:
    """Whether the same is inside."""
    return hmac.compare_digest(one[:_DIGEST], other[:_DIGEST])


def restore(text: bytes, key: bytes, etc: Path) -> None:
    """Writes the files, with the modes and owners (by name) that they had. Raises Invalid for another key."""
    nonce = text[_DIGEST : _DIGEST + _NONCE]
    try:
        plain = AESGCM(key).decrypt(nonce, text[_DIGEST + _NONCE :], _CONTEXT)
    except (InvalidTag, ValueError):
        raise Invalid(
            "the recovery copy does not open this instance's configuration",
            field="--recovery-file",
            remedy="Give the newest recovery copy of this instance",
        ) from None
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:gz") as archive:
        for entry in archive:
            target = etc / entry.name
            if not (entry.isfile() or entry.isdir()) or not target.resolve().is_relative_to(etc.resolve()):
                raise CcxError(f"the copied configuration holds {entry.name!r}", status=500)
            if entry.isdir():
                target.mkdir(mode=0o700, exist_ok=True)
            else:
                target.unlink(missing_ok=True)
                content = archive.extractfile(entry)
                assert content is not None, "it is a file"
                with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content.read())
            _give(target, entry)


def _give(target: Path, entry: tarfile.TarInfo) -> None:
    """A system user has other numbers on another machine."""
    try:
        shutil.chown(target, entry.uname or "root", entry.gname or "root")
    except LookupError:
        os.chown(target, 0, 0)
    target.chmod(entry.mode & 0o777)
