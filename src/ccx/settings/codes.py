"""How a cloud's code stands in environment variables."""

from __future__ import annotations

import re


def prefix(code: str) -> str:
    """How variables of a cloud begin."""
    return re.sub(r"[^A-Z0-9]+", "_", code.upper())
