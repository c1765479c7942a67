"""Passwords that people never choose."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def new_password(length: int = 24) -> str:
    """A random password of letters and digits: it needs no quoting in a URL, a shell, YAML or SQL. 24 hold 142 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
