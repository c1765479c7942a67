"""The node channel to the simulated cloud's nodes: asks that cloud's process to run the verb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from ccx.cmon.node_channel import NodeRefused, NodeUnreachable, Progress
from ccx.cmon.spec import NodeSpec


class SimulatedChannel:
    """A NodeChannel to nodes that keep the highest token that they saw, as real agents do."""

    def __init__(self, socket_path: Path) -> None:
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket_path)), base_url="http://simulated"
        )

    async def call(
        self,
        node: NodeSpec,
        verb: str,
        args: dict[str, Any] | None = None,
        *,
        token: int | None = None,
        timeout: float = 30,  # noqa: ASYNC109 - the interface's
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        body = {"address": node.address, "verb": verb, "args": args or {}, "token": token}
        try:
            answer = await self._http.post("/verb", json=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise NodeUnreachable(f"{node.label}: {type(error).__name__} {error}") from error
        if answer.status_code == 500:
            raise NodeUnreachable(f"{node.label}: {answer.text}")
        result: dict[str, Any] = answer.json()
        if result.get("error") == "NodeRefused":
            raise NodeRefused(f"{node.label}: {result['err']}")
        if answer.is_error:
            raise NodeUnreachable(f"{node.label}: {result['err']}")
        for step in result.pop("progress", []):
            if progress is not None:
                await progress(step)
        return result

    async def close(self) -> None:
        await self._http.aclose()
