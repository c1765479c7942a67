"""The driver: :class:`LocalCloud` asks the daemon of :mod:`ccx.clouds.local.daemon`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from ccx.clouds.base import (
    CloudEvent,
    Demand,
    Firewall,
    Resource,
    ResourceKind,
    Server,
    ServerSpec,
    ServerState,
    Tags,
    Unavailable,
    Volume,
    VolumeSpec,
)  # fmt: skip
from ccx.clouds.wire import restore
from ccx.settings.model import InstanceType

_SILENT_FOR_S = 30
"""The stream of events says that it stands more often than that."""


class LocalCloud:
    """This machine as a cloud. ``instance_types`` are those on offer, by the cloud's word for them."""

    def __init__(
        self, socket_path: Path, code: str = "local", instance_types: Mapping[str, InstanceType] | None = None
    ) -> None:
        self.code = code
        self.socket_path = socket_path
        self._types = instance_types or {}
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket_path)), base_url="http://local-cloud", timeout=30
        )

    async def check_capacity(self, demands: Sequence[Demand]) -> None:
        await self._call("cloud/check_capacity", demands=[asdict(demand) for demand in demands])

    async def create_volume(self, spec: VolumeSpec, tags: Tags) -> Volume:
        return Volume(**await self._call("cloud/create_volume", spec=asdict(spec), tags=asdict(tags)))

    async def delete_volume(self, name: str, tags: Tags) -> None:
        await self._call("cloud/delete_volume", name=name, tags=asdict(tags))

    async def create_server(self, spec: ServerSpec, tags: Tags) -> Server:
        known = self._types.get(spec.instance_type)
        size = {"cpu": known.cpu, "ram": known.ram} if known else None
        return _server(await self._call("cloud/create_server", spec=asdict(spec), tags=asdict(tags), size=size))

    async def get_server(self, name: str) -> Server | None:
        found = await self._call("cloud/get_server", name=name)
        return _server(found) if found else None

    async def delete_server(self, name: str, tags: Tags) -> None:
        await self._call("cloud/delete_server", name=name, tags=asdict(tags))

    async def power_off(self, name: str, tags: Tags) -> None:
        await self._call("cloud/power_off", name=name, tags=asdict(tags))

    async def power_on(self, name: str, tags: Tags) -> None:
        await self._call("cloud/power_on", name=name, tags=asdict(tags))

    async def put_firewall(self, firewall: Firewall, tags: Tags) -> None:
        await self._call("cloud/put_firewall", firewall=asdict(firewall), tags=asdict(tags))

    async def delete_firewall(self, name: str, tags: Tags) -> None:
        await self._call("cloud/delete_firewall", name=name, tags=asdict(tags))

    async def inventory(self, instance: str) -> list[Resource]:
        found = await self._call("cloud/inventory", instance=instance)
        return [Resource(ResourceKind(r["kind"]), r["name"], Tags(**r["tags"]), r["detail"]) for r in found]

    async def events(self) -> AsyncIterator[CloudEvent]:
        try:
            async with self._http.stream("GET", "/events", timeout=httpx.Timeout(30, read=_SILENT_FOR_S)) as answer:
                async for line in answer.aiter_lines():
                    if line:
                        event = json.loads(line)
                        yield CloudEvent(event["server"], ServerState(event["state"]), event["at"])
        except httpx.HTTPError as error:
            raise _away(error) from error
        raise Unavailable("the local cloud ended its stream of events")

    async def close(self) -> None:
        await self._http.aclose()

    async def kill(self, server: str) -> None:
        """Ends a machine as a failing host would, without a word to anybody. By the server's name or hostname."""
        await self._call("faults/crash", server=server)

    async def cut(self, server: str) -> None:
        """Takes the machine's network away: not a packet passes, in or out, and nobody is told."""
        await self._call("faults/cut", server=server)

    async def heal(self, server: str) -> None:
        """Gives its network back."""
        await self._call("faults/heal", server=server)

    async def silence(self, silent: bool) -> None:
        """Whether to keep state changes to itself, as a cloud does that doesn't report them."""
        await self._call("faults/silence", silent=silent)

    async def denied(self) -> dict[str, int]:
        """Packets dropped so far, by firewall; ``cut`` for faults and ``other`` for what no firewall speaks of."""
        counts: dict[str, int] = await _answer(self._http.get("/denied"))
        return counts

    async def _call(self, path: str, **body: Any) -> Any:
        return await _answer(self._http.post(f"/{path}", json=body))


async def _answer(request: Awaitable[httpx.Response]) -> Any:
    try:
        answer = await request
    except httpx.HTTPError as error:
        raise _away(error) from error
    if answer.status_code == 500:
        raise Unavailable(f"the local cloud broke: {answer.text}")
    if answer.is_error:
        raise restore(answer.json())
    return answer.json()


def _away(error: httpx.HTTPError) -> Unavailable:
    return Unavailable(f"the local cloud does not answer: {type(error).__name__} {error}".rstrip())


def _server(body: dict[str, Any]) -> Server:
    return Server(body["name"], ServerState(body["state"]), body["private_ip"], body["public_ip"], body["zone"])
