"""What is known of the control plane's copy: written by the keeper, read by ``ccx status`` and ``/metrics``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "recovery/status.json"


@dataclass
class CopyStatus:
    """Times are Unix times."""

    kept: bool = False
    """Whether there is to be a copy; ``why_not`` says why there is none."""
    why_not: str = ""
    complete: float | None = None
    """Up to when everything that was committed is in the store and can be brought back."""
    base: float | None = None
    """When the newest base copy was begun."""
    base_bytes: int = 0
    generation: int = 0
    failed: str = ""
    """What the last try failed with; empty: it did not."""
    unheard: str = ""
    """Why nobody knows whether there is a newer claim."""

    lost: str = ""
    """Whose the instance is now, and that this control plane has stopped acting for it; empty: it is its own."""

    @classmethod
    def load(cls, var: Path) -> CopyStatus | None:
        try:
            return cls(**json.loads((var / _FILE).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, var: Path) -> None:
        target = var / _FILE
        partial = target.with_suffix(".new")
        partial.write_text(json.dumps(asdict(self)))
        partial.chmod(0o640)
        partial.replace(target)

    def words(self) -> str:
        """One line for a person."""
        if self.lost:
            return self.lost
        if not self.kept:
            return f"not backed up: {self.why_not}" if self.why_not else "not known yet"
        if self.complete is None:
            said = "none yet"
        else:
            said = f"complete up to {max(0, time.time() - self.complete):.0f} s ago"
        if self.base is not None:
            begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.base))
            said += f"; base copy of {begun}, {self.base_bytes / 2**20:.1f} MiB"
        for trouble in (self.failed, self.unheard and f"newer claims can't be seen: {self.unheard}"):
            said += f"\n{'':15}{trouble}" if trouble else ""
        return said
