"""What programs on this node note for each other, as JSON: how far they are, what they wait for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(path: Path, content: object) -> None:
    """Whoever reads it meanwhile reads what was there before, never a part. It may not survive a crash."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(json.dumps(content))
    fresh.rename(path)


def read(path: Path) -> Any:
    """None: there is nothing."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
