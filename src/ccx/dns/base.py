"""Where names are written. One writer per way of serving them; what a datastore's names are is decided above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class NameWriter(Protocol):
    """Publishes names with a short time to live."""

    async def publish(self, zone_part: str, records: Mapping[str, Sequence[str]]) -> None:
        """Replaces all records of one datastore: fully qualified name to IPv4 addresses.

        ``zone_part`` is the datastore's short id. A name without addresses, or left out, ends at once; no records
        remove the datastore's names. May be repeated. Raises :class:`ccx.errors.Transient` when the server can't be
        told now.
        """
