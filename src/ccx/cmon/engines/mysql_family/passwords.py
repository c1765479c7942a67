"""Passwords as the servers of the family store them, so that the password itself never leaves the control plane."""

from __future__ import annotations

import hashlib
import secrets

_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SALT = 20
_ROUNDS = 5
"""Thousands: the least that the servers take, and what they make themselves."""


def native_hash(password: str) -> str:
    """Of ``mysql_native_password``: every client knows it. It travels over TLS only."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def caching_sha2_verifier(password: str, salt: str = "") -> str:
    """Of ``caching_sha2_password``: a salt of letters, and the password's SHA-256 crypt with it. Another every time."""
    salt = salt or "".join(secrets.choice(_LETTERS) for _ in range(_SALT))
    return f"$A${_ROUNDS:03x}${salt}{sha256_crypt(password.encode(), salt.encode(), _ROUNDS * 1000)}"


def sha256_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    """Ulrich Drepper's SHA-crypt, as text; of a salt of any length, where crypt(3) would cut it."""
    sha = hashlib.sha256
    mixed = sha(password + salt + password).digest()
    first = sha(password + salt + _stretched(mixed, len(password)))
    bits = len(password)
    while bits:
        first.update(mixed if bits & 1 else password)
        bits >>= 1
    digest = first.digest()
    p = _stretched(sha(password * len(password)).digest(), len(password))
    s = _stretched(sha(salt * (16 + digest[0])).digest(), len(salt))
    for turn in range(rounds):
        odd = turn & 1
        digest = sha(
            (p if odd else digest) + (s if turn % 3 else b"") + (p if turn % 7 else b"") + (digest if odd else p)
        ).digest()
    return _as_text(digest)


def _stretched(digest: bytes, length: int) -> bytes:
    return (digest * (length // len(digest) + 1))[:length]


def _as_text(digest: bytes) -> str:
    """In its own order of bytes, three of them as four letters."""
    order = [(i * 21 + j * 10) % 30 for i in range(10) for j in range(3)]
    groups = [bytes(digest[at] for at in order[i : i + 3]) for i in range(0, 30, 3)]
    text = "".join(_letters(int.from_bytes(group, "big"), 4) for group in groups)
    return text + _letters(digest[31] << 8 | digest[30], 3)


def _letters(number: int, count: int) -> str:
    return "".join(_LETTERS[number >> 6 * place & 63] for place in range(count))
