"""The wrapping keys: a small file beside the configuration, never in the database or its backups."""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ccx.errors import CcxError, Conflict, Invalid, NotFound

_KEY_BYTES = 32
_NONCE_BYTES = 12
_FILE_NAME = "wrapping.key"


class Unsealable(CcxError):
    """A sealed value that no key opens: the key is missing, or the value was changed or moved."""

    status = 500


class KeyRing:
    """Versioned AES-256 keys. The newest seals; all of them open. Has no repr that shows a key."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys:
            raise Invalid("a key ring needs at least one key", remedy="Restore the wrapping key from its recovery copy")
        if any(len(key) != _KEY_BYTES for key in keys.values()):
            raise Invalid("a wrapping key must have 32 bytes", remedy="Restore the wrapping key from its recovery copy")
        self._keys = dict(keys)
        self._newest = max(self._keys)

    def __repr__(self) -> str:
        return f"<KeyRing versions={sorted(self._keys)}>"

    @property
    def newest(self) -> int:
        """The version that seals."""
        return self._newest

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """The keys in ``path`` (or in ``path/wrapping.key``). Raises NotFound, or Invalid when others may read it."""
        path = _file(path)
        try:
            with path.open() as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                text = file.read()
        except FileNotFoundError:
            raise NotFound(
                f"there is no wrapping key at {path}",
                remedy="Restore it from its recovery copy, or run ccx up for a new instance",
            ) from None
        if mode & 0o077:
            raise Invalid(
                f"{path} has mode {mode:04o}: others may read the wrapping key", remedy=f"Run chmod 600 {path}"
            )
        return cls.from_lines(text, source=str(path))

    @classmethod
    def create(cls, path: Path) -> KeyRing:
        """Makes a first key at ``path``, mode 0600, whole or not at all.

        Raises Conflict when there is one: losing it loses every secret.
        """
        path = _file(path)
        ring = cls({1: secrets.token_bytes(_KEY_BYTES)})
        try:
            ring._write(path, exclusive=True)
        except FileExistsError:
            raise Conflict(f"{path} exists already", remedy="Keep it: every sealed secret needs it") from None
        return ring

    def rotated(self) -> KeyRing:
        """This ring and a new key that seals from now on. Save it, restart, then :meth:`ccx.secrets.Vault.rewrap`."""
        return KeyRing({**self._keys, self._newest + 1: secrets.token_bytes(_KEY_BYTES)})

    def save(self, path: Path) -> None:
        """Replaces the file at ``path``, whole or not at all; its owner stays."""
        self._write(_file(path), exclusive=False)

    def to_lines(self) -> str:
        """The file's content: a JSON object a line. Secret."""
        return "".join(
            json.dumps({"version": version, "key": base64.b64encode(key).decode()}) + "\n"
            for version, key in sorted(self._keys.items())
        )

    def plus(self, version: int, key: bytes) -> KeyRing:
        """This ring and one more key. Version 0 never seals: it is for a key that only travels with the others."""
        return KeyRing({**self._keys, version: key})

    def parted(self, version: int) -> tuple[bytes | None, KeyRing]:
        """The reverse of :meth:`plus`: that key, if it is there, and the ring without it."""
        others = {number: key for number, key in self._keys.items() if number != version}
        return self._keys.get(version), KeyRing(others)

    @classmethod
    def from_lines(cls, text: str, *, source: str) -> KeyRing:
        """The reverse of :meth:`to_lines`; ``source`` names the text in errors."""
        keys: dict[int, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                keys[int(entry["version"])] = base64.b64decode(entry["key"], validate=True)
            except (ValueError, KeyError, TypeError, binascii.Error):
                # The line itself may be a key: never quote it.
                raise Invalid(
                    f"line {number} of {source} is no wrapping key",
                    remedy="Restore the wrapping key from its recovery copy",
                ) from None
        return cls(keys)

    def seal(self, value: bytes, *, context: bytes) -> tuple[int, bytes, bytes]:
        """``(version, nonce, ciphertext)``. Opens only with the same ``context``, which is bound, not hidden."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._newest, nonce, AESGCM(self._keys[self._newest]).encrypt(nonce, value, context)

    def open(self, version: int, nonce: bytes, ciphertext: bytes, *, context: bytes) -> bytes:
        """What was sealed. Raises :class:`Unsealable`."""
        key = self._keys.get(version)
        if key is None:
            raise Unsealable(
                f"wrapping key version {version} is missing", remedy="Restore the wrapping key from its recovery copy"
            )
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, context)
        except InvalidTag:
            raise Unsealable(
                f"a secret sealed with key {version} does not open: another key, or the row was changed or moved",
                remedy="Restore the wrapping key, or the database, from the same backup",
            ) from None

    def _write(self, path: Path, *, exclusive: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.to_lines())
            file.flush()
            os.fsync(file.fileno())
            if not exclusive and path.exists():
                owner = path.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        if exclusive:
            try:
                os.link(fresh, path)
            finally:
                fresh.unlink()
        else:
            fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _file(path: Path) -> Path:
    return path / _FILE_NAME if path.is_dir() else path
