"""What the control plane is to a booting node, in small: enrolment and the APT repository, over HTTPS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ccx.cmon.packages import AptRepository
from ccx.pki import KeyPair, issue


@dataclass
class Enrolments:
    """What nodes asked for and reported, by their tokens."""

    agent_version: str
    host_keys: dict[str, str] = field(default_factory=dict)
    """Private keys, by token."""
    enrolled: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    failed: dict[str, object] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_ready(self, tokens: list[str], within: float) -> None:
        """Returns when all of them are ready; fails at once when one reports that it can't be."""
        async with asyncio.timeout(within):
            while not set(tokens) <= set(self.ready):
                assert not self.failed, self.failed
                self.changed.clear()
                await self.changed.wait()

    async def enrol(self, request: Request) -> JSONResponse:
        token = (await request.json())["token"]
        if token not in self.host_keys:
            return JSONResponse({"code": 401, "err": "wrong token"}, 401)
        self.enrolled.setdefault(token, time.monotonic())
        return JSONResponse({"host_key": self.host_keys[token], "agent_version": self.agent_version})

    async def report_ready(self, request: Request) -> JSONResponse:
        self.ready.setdefault((await request.json())["token"], time.monotonic())
        self.changed.set()
        return JSONResponse({})

    async def report_failed(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.failed[body["token"]] = body
        self.changed.set()
        return JSONResponse({})


@asynccontextmanager
async def enrol_server(address: str, ca: KeyPair, repository: AptRepository, keys: Path) -> AsyncIterator[Enrolments]:
    """Serves on port 443 of ``address``, with a certificate of ``ca``; ``keys`` is a folder for that."""
    served = issue(ca, "control plane", [], [address], client=False)
    (keys / "server.crt").write_text(served.certificate)
    (keys / "server.key").write_text(served.key)
    enrolments = Enrolments(repository.agent_version)
    app = Starlette(
        routes=[
            Route("/api/node/v1/enrol", enrolments.enrol, methods=["POST"]),
            Route("/api/node/v1/ready", enrolments.report_ready, methods=["POST"]),
            Route("/api/node/v1/failed", enrolments.report_failed, methods=["POST"]),
            Mount("/apt", StaticFiles(directory=repository.path)),
        ]
    )
    config = uvicorn.Config(
        app, host=address, port=443, log_level="warning",
        ssl_certfile=str(keys / "server.crt"), ssl_keyfile=str(keys / "server.key"),
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:
                if serving.done():
                    serving.result()
                await asyncio.sleep(0.02)
        yield enrolments
    finally:
        server.should_exit = True
        await serving
