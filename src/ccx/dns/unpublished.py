"""For installations without a DNS server of ours, such as those on the simulated cloud: names lead nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Unpublished:
    """Remembers what was published, for who asks."""

    def __init__(self) -> None:
        self.names: dict[str, dict[str, list[str]]] = {}

    async def publish(self, zone_part: str, records: Mapping[str, Sequence[str]]) -> None:
        """See :class:`ccx.dns.base.NameWriter`."""
        self.names[zone_part] = {name: list(addresses) for name, addresses in records.items() if addresses}
