"""How a datastore is backed up, how long that is kept and how often it is proved: the settings', or its own."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ccx.settings import Settings
from ccx.stores.models import Datastore


class Policy(BaseModel):
    """What holds for one datastore. Crons are UTC; empty: never."""

    model_config = ConfigDict(extra="forbid")

    full: str
    incremental: str
    verify: str
    """Reading all of its backups and log."""
    drill: str
    """Restoring its newest backup."""
    keep_days: int = Field(ge=0, le=36500)
    """Days to any time of which it can be restored; 0: only ``keep_full`` says what is kept."""
    keep_full: int = Field(ge=0, le=10000)
    """Usable full backups that are kept however old they are. Where both are 0, none is ever removed."""
    keep_deleted_days: int = Field(ge=0, le=36500)
    """Days for which its backups are kept after it was deleted; 0: for ever."""


def policy(settings: Settings, datastore: Datastore) -> Policy:
    """What the datastore has of its own, and for the rest the settings."""
    general: dict[str, Any] = {name: getattr(settings, f"backup_{name}") for name in Policy.model_fields}
    return Policy.model_validate({**general, **(datastore.backup_policy or {})})
