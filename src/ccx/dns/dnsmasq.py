"""Names in the dnsmasq that the local cloud's daemon runs for an installation on one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from ccx.errors import CcxError, Transient


class DnsmasqWriter:
    """Tells the daemon, which remembers the names and lets dnsmasq answer them at once. Their TTL is the daemon's."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    async def publish(self, zone_part: str, records: Mapping[str, Sequence[str]]) -> None:
        """See :class:`ccx.dns.base.NameWriter`. Raises CcxError for names or addresses that are none."""
        body = {"zone_part": zone_part, "records": {name: list(addresses) for name, addresses in records.items()}}
        transport = httpx.AsyncHTTPTransport(uds=str(self._socket_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://local-cloud", timeout=10) as http:
            try:
                answer = await http.post("/dns", json=body)
            except httpx.HTTPError as error:
                raise Transient(f"the DNS server can't be told: {type(error).__name__} {error}".rstrip()) from error
        if answer.status_code >= 500:
            raise Transient(f"the DNS server can't be told: {answer.text}")
        if answer.is_error:
            refusal = answer.json()
            raise CcxError(refusal["err"], field=refusal["field"], remedy=refusal["remedy"], status=answer.status_code)
