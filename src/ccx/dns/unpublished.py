"""For installations without a DNS server of ours, such as those on the simulated cloud: names lead nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Unpublished:
    """Has nobody to tell."""

    async def publish(self, zone_part: str, records: Mapping[str, Sequence[str]]) -> None:
        """See :class:`ccx.dns.base.NameWriter`."""
