"""Faults, deaths and records of a running simulated cloud, for tests and for a person who wants to see what if."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ccx.clouds.simulated.faults import Fault
from ccx.clouds.wire import restore


@dataclass(frozen=True)
class Call:
    """A call that changes something, as it was carried out. Refused ones aren't recorded: they did nothing."""

    id: int
    at: float
    call: str
    """A method of Cloud, or ``verb:<verb>``."""
    name: str
    """The resource's name; for a verb the server's."""
    token: int
    datastore: str = ""
    changed: bool = False
    """False for the repetition of what was done already."""


class Control:
    """A client of ``/control``."""

    def __init__(self, socket_path: Path) -> None:
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket_path)), base_url="http://simulated", timeout=60
        )

    async def add_fault(self, fault: Fault) -> None:
        await self._send("POST", "/control/faults", json=fault.model_dump())

    async def clear_faults(self) -> None:
        await self._send("DELETE", "/control/faults")

    async def set_limits(self, **limits: int) -> None:
        """``servers``, ``cpu``, ``ram`` (GiB), ``volume_size`` (GiB), of the whole cloud; others are endless."""
        await self._send("PUT", "/control/limits", json=limits)

    async def block(self, *hosts: str) -> None:
        """No node reaches these hosts from now on; those that were blocked before are open again."""
        await self._send("PUT", "/control/blocked", json=list(hosts))

    async def kill(self, server: str) -> None:
        """The machine dies, and the cloud knows and reports it."""
        await self._send("POST", f"/control/servers/{server}/kill")

    async def freeze(self, server: str) -> None:
        """The machine dies, and the cloud goes on saying that it runs."""
        await self._send("POST", f"/control/servers/{server}/freeze")

    async def cut(self, server: str) -> None:
        """The machine lives on, and nothing reaches it."""
        await self._send("POST", f"/control/servers/{server}/cut")

    async def heal(self, server: str) -> None:
        """Ends :meth:`cut`."""
        await self._send("POST", f"/control/servers/{server}/heal")

    async def calls(self, after: int = 0) -> list[Call]:
        """Every call that was carried out since ``after`` (a call's id), oldest first."""
        answer = await self._send("GET", "/control/calls", params={"after": after})
        return [Call(**call) for call in answer.json()]

    async def documents(self, kind: str) -> dict[str, dict[str, Any]]:
        """The raw state by name: ``server``, ``volume``, ``firewall``, ``cluster``, ``fault`` or ``token``."""
        documents: dict[str, dict[str, Any]] = (await self._send("GET", f"/control/documents/{kind}")).json()
        return documents

    async def close(self) -> None:
        await self._http.aclose()

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = await self._http.request(method, path, **options)
        if answer.is_error:
            raise restore(answer.json())
        return answer
