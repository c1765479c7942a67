"""What the audience can't do: the local cloud's own view, and a hand at its machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ccx.clouds.base import ResourceKind
from ccx.clouds.local.driver import LocalCloud
from ccx.demo.stage import Unexpected
from ccx.settings import Settings


def kill(settings: Settings, address: str) -> None:
    """Kills the machine of that address behind the control plane's back, as a failing host would."""

    async def found_and_killed(cloud: LocalCloud) -> None:
        for resource in await cloud.inventory(settings.instance):
            if resource.kind is ResourceKind.SERVER:
                server = await cloud.get_server(resource.name)
                if server is not None and server.private_ip == address:
                    return await cloud.kill(server.name)
        raise Unexpected(f"the cloud has a machine at {address}")

    _with_cloud(settings, found_and_killed)


def resources(settings: Settings, short_id: str) -> list[str]:
    """What exists on the cloud for a datastore, by the cloud's own word: ``kind name``."""
    found = _with_cloud(settings, lambda cloud: cloud.inventory(settings.instance))
    return [f"{r.kind} {r.name}" for r in found if r.tags.datastore == short_id or short_id in r.name]


def _with_cloud(settings: Settings, ask: Callable[[LocalCloud], Any]) -> Any:
    async def asked() -> Any:
        cloud = LocalCloud(settings.paths.run / "cloud.sock", "local")
        try:
            return await ask(cloud)
        finally:
            await cloud.close()

    return asyncio.run(asked())
