"""Identity: UUIDv7 for everything, and short ids that DNS and cloud names are made of."""

from __future__ import annotations

import secrets
from uuid import UUID

from uuid6 import uuid7

# No vowels (no words), no characters that are read for one another.
_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
_LETTERS = "bcdfghjkmnpqrstvwxz"


def new_id() -> UUID:
    """A new UUIDv7: unique, and ordered by the time of its making."""
    return UUID(bytes=uuid7().bytes)


def new_short_id(length: int = 8) -> str:
    """A random id that is a valid DNS label and cloud name part: begins with a letter, lower case."""
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_ALPHABET) for _ in range(length - 1))
