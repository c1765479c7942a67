"""What the store holds is encrypted: by a data key of the generation's own, which the wrapping key seals."""

from __future__ import annotations

import base64
import json
import secrets
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ccx.errors import CcxError
from ccx.recovery.places import Series
from ccx.secrets import KeyRing
from ccx.secrets.keys import Unsealable

_NONCE = 12


class Damaged(CcxError):
    """An object that is not what was put there."""

    status = 500


class DataKey:
    """Seals objects, each for its own place: one can't take another's."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._key = key

    @classmethod
    def new(cls) -> DataKey:
        return cls(secrets.token_bytes(32))

    def sealed(self, ring: KeyRing, series: Series) -> bytes:
        """For the store: only the wrapping key opens it."""
        version, nonce, text = ring.seal(self._key, context=series.key.encode())
        encoded = {name: base64.b64encode(raw).decode() for name, raw in (("nonce", nonce), ("key", text))}
        return json.dumps({"version": version, **encoded}).encode()

    @classmethod
    def opened(cls, text: bytes, ring: KeyRing, series: Series) -> DataKey:
        """Raises :class:`ccx.secrets.keys.Unsealable` for another installation's."""
        try:
            found = json.loads(text)
            nonce, sealed = (base64.b64decode(found[name], validate=True) for name in ("nonce", "key"))
            version = int(found["version"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unsealable(f"{series.key} is damaged") from error
        return cls(ring.open(version, nonce, sealed, context=series.key.encode()))

    def seal(self, key: str, data: bytes, *, compress: bool = False) -> bytes:
        """``data`` for the object ``key``."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, zlib.compress(data, 1) if compress else data, key.encode())

    def open(self, key: str, data: bytes, *, compressed: bool = False) -> bytes:
        """Raises :class:`Damaged`."""
        try:
            plain = self._cipher.decrypt(data[:_NONCE], data[_NONCE:], key.encode())
        except (InvalidTag, ValueError):
            raise Damaged(f"{key} in the object store is damaged, or another object lies in its place") from None
        return zlib.decompress(plain) if compressed else plain
