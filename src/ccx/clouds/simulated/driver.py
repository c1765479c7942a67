"""The driver: :class:`SimulatedCloud` asks the process of :mod:`ccx.clouds.simulated.server`."""

from __future__ import annotations

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
)
from ccx.clouds.wire import restore
from ccx.settings.model import CloudConfig, InstanceType, Settings

POLL_SECONDS = 15


class SimulatedCloud:
    """A cloud without machines. ``timeout`` (seconds) bounds every call: one that hangs is then Unavailable."""

    def __init__(
        self, socket_path: Path, code: str, instance_types: Mapping[str, InstanceType], timeout: float = 30
    ) -> None:
        self.code = code
        self.socket_path = socket_path
        self._types = instance_types
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket_path)), base_url="http://simulated", timeout=timeout
        )

    @classmethod
    def from_config(cls, config: CloudConfig, settings: Settings) -> SimulatedCloud:
        """``endpoint`` may name the socket; it is ``simulated-cloud.sock`` of the instance otherwise."""
        socket_path = Path(config.endpoint) if config.endpoint else settings.paths.run / "simulated-cloud.sock"
        types = {name: size for size in config.instance_types for name in (size.code, size.type)}
        return cls(socket_path, config.code, types)

    async def check_capacity(self, demands: Sequence[Demand]) -> None:
        wanted = [{"servers": 1, "cpu": d.cpu, "ram": d.ram, "volume_size": d.volume_size} for d in demands]
        await self._call("check_capacity", wanted=wanted)

    async def create_volume(self, spec: VolumeSpec, tags: Tags) -> Volume:
        volume = await self._call("create_volume", spec=asdict(spec), tags=asdict(tags))
        return Volume(volume["name"], volume["size"], volume["attached_to"])

    async def delete_volume(self, name: str, tags: Tags) -> None:
        await self._call("delete_volume", name=name, tags=asdict(tags))

    async def create_server(self, spec: ServerSpec, tags: Tags) -> Server:
        size = self._types.get(spec.instance_type)
        room = {"cpu": size.cpu if size else 0, "ram": size.ram if size else 0}
        return _server(await self._call("create_server", spec={**asdict(spec), **room}, tags=asdict(tags)))

    async def get_server(self, name: str) -> Server | None:
        server = await self._call("get_server", name=name)
        return _server(server) if server else None

    async def delete_server(self, name: str, tags: Tags) -> None:
        await self._call("delete_server", name=name, tags=asdict(tags))

    async def power_off(self, name: str, tags: Tags) -> None:
        await self._call("power_off", name=name, tags=asdict(tags))

    async def power_on(self, name: str, tags: Tags) -> None:
        await self._call("power_on", name=name, tags=asdict(tags))

    async def put_firewall(self, firewall: Firewall, tags: Tags) -> None:
        rules = [asdict(rule) for rule in firewall.rules]
        await self._call("put_firewall", firewall={"name": firewall.name, "rules": rules}, tags=asdict(tags))

    async def delete_firewall(self, name: str, tags: Tags) -> None:
        await self._call("delete_firewall", name=name, tags=asdict(tags))

    async def inventory(self, instance: str) -> list[Resource]:
        found = await self._call("inventory", instance=instance)
        return [Resource(ResourceKind(r["kind"]), r["name"], Tags(**r["tags"]), r["detail"]) for r in found]

    async def events(self) -> AsyncIterator[CloudEvent]:
        last = (await self._get("/events"))["last"]
        while True:
            for event in await self._get("/events", after=last, wait=POLL_SECONDS):
                last = event["id"]
                yield CloudEvent(event["server"], ServerState(event["state"]), event["at"])

    async def close(self) -> None:
        await self._http.aclose()

    async def _call(self, call: str, **body: Any) -> Any:
        return await self._answer(self._http.post(f"/cloud/{call}", json=body))

    async def _get(self, path: str, **params: Any) -> Any:
        return await self._answer(self._http.get(path, params=params, timeout=POLL_SECONDS + self._timeout))

    async def _answer(self, request: Awaitable[httpx.Response]) -> Any:
        try:
            answer = await request
        except httpx.HTTPError as error:
            raise Unavailable(f"the simulated cloud did not answer: {type(error).__name__} {error}") from error
        if answer.status_code == 500:
            raise Unavailable(f"the simulated cloud broke: {answer.text}")
        if answer.is_error:
            raise restore(answer.json())
        return answer.json()


def _server(body: dict[str, Any]) -> Server:
    return Server(body["name"], ServerState(body["state"]), body["private_ip"], zone=body["zone"])
