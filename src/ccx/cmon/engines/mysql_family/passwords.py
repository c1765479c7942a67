"""Passwords as the servers of the family store them, so that the password itself never leaves the control plane."""

from __future__ import annotations

import hashlib


def native_hash(password: str) -> str:
    """Of ``mysql_native_password``: every client knows it. It travels over TLS only."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()
