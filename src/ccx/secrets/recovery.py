"""A copy of the wrapping keys under a passphrase, to be kept far from the machine."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import textwrap

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ccx.errors import Invalid
from ccx.secrets.keys import KeyRing

_BEGIN = "-----BEGIN CCX RECOVERY KEY-----"
_END = "-----END CCX RECOVERY KEY-----"
_MIN_PASSPHRASE = 12
_COST = 2**17  # 128 MiB and about half a second a guess
_HIGHEST_COST = 2**20


def export_recovery(keys: KeyRing, passphrase: str) -> str:
    """The keys as armoured text that only ``passphrase`` opens. Takes half a second of CPU: call it from a thread."""
    if len(passphrase) < _MIN_PASSPHRASE:
        raise Invalid(
            f"the passphrase has {len(passphrase)} characters, {_MIN_PASSPHRASE} are the least",
            field="passphrase",
            remedy="Choose a longer one: whoever has the copy can try passphrases as fast as they like",
        )
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    header = {"v": 1, "kdf": "scrypt", "n": _COST, "r": 8, "p": 1, "salt": _text(salt), "nonce": _text(nonce)}
    sealed = AESGCM(_derive(passphrase, salt, _COST)).encrypt(nonce, keys.to_lines().encode(), _BEGIN.encode())
    body = base64.b64encode(json.dumps({**header, "keys": _text(sealed)}).encode()).decode()
    return "\n".join([_BEGIN, *textwrap.wrap(body, 76), _END, ""])


def import_recovery(text: str, passphrase: str) -> KeyRing:
    """The keys of :func:`export_recovery`. Raises Invalid for another passphrase or a damaged copy."""
    damaged = Invalid(
        "this is no whole recovery copy", field="recovery", remedy="Paste it with its first and last line"
    )
    _, begin, rest = text.partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    if not begin or not end:
        raise damaged
    try:
        copy = json.loads(base64.b64decode("".join(body.split()), validate=True))
        salt, nonce, sealed = (base64.b64decode(copy[part], validate=True) for part in ("salt", "nonce", "keys"))
        cost = int(copy["n"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise damaged from None
    if copy.get("v") != 1 or len(nonce) != 12 or not 2**14 <= cost <= _HIGHEST_COST or cost & (cost - 1):
        raise damaged
    try:
        lines = AESGCM(_derive(passphrase, salt, cost)).decrypt(nonce, sealed, _BEGIN.encode())
    except InvalidTag:
        raise Invalid(
            "the passphrase does not open this recovery copy",
            field="passphrase",
            remedy="Try the passphrase that was current when the copy was made",
        ) from None
    return KeyRing.from_lines(lines.decode(), source="the recovery copy")


def _derive(passphrase: str, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
