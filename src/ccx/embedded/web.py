"""Serves the API on the sockets that the supervisor opened: HTTPS for the host and for nodes, plain HTTP inside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

_GRACE_S = 5


class _Server(uvicorn.Server):
    """Leaves signals to the process, which has more than a web server to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Web:
    """The web servers of one process; all serve the same application."""

    def __init__(self, app: FastAPI, *, certificate: Path | None = None, key: Path | None = None) -> None:
        self._app = app
        self._certificate = certificate
        self._key = key
        self._servers: list[_Server] = []

    async def run(self, *, tls: Sequence[socket.socket], plain: Sequence[socket.socket]) -> None:
        """Serves until :meth:`stop`; requests under way get some seconds to end."""
        pairs = [(self._server(secure=True), tls), (self._server(secure=False), plain)]
        async with asyncio.TaskGroup() as group:
            for server, sockets in pairs:
                if sockets:
                    self._servers.append(server)
                    group.create_task(server.serve(sockets=list(sockets)))

    def stop(self) -> None:
        for server in self._servers:
            server.should_exit = True

    def _server(self, *, secure: bool) -> _Server:
        options = {"ssl_certfile": self._certificate, "ssl_keyfile": self._key} if secure else {}
        return _Server(
            uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                loop="asyncio",
                http="h11",
                ws="none",
                timeout_graceful_shutdown=_GRACE_S,
                # The HTTPS listener faces people directly: nobody may say who else he is.
                proxy_headers=False,
                **options,  # type: ignore[arg-type]
            )
        )
