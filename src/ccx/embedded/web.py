"""Serves the API on the sockets that the supervisor opened: HTTPS for the host and for nodes, plain HTTP inside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

_GRACE_S = 5

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Leaves signals to the process, which has more than a web server to stop, and sleeps while nobody asks."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """A turn each second, for the ``Date`` header; the library's own takes ten, which an idle machine pays for."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1)

    def stop(self) -> None:
        self.should_exit = True
        self._told.set()


class Web:
    """The web servers of one process; all serve the same application."""

    def __init__(self, app: FastAPI, *, certificate: Path | None = None, key: Path | None = None) -> None:
        self._app = app
        self._certificate = certificate
        self._key = key
        self._servers: list[_Server] = []
        self.look_every = 30.0
        """Seconds from one look at the certificate's files to the next."""

    async def run(self, *, tls: Sequence[socket.socket], plain: Sequence[socket.socket]) -> None:
        """Serves until :meth:`stop`; requests under way get some seconds to end."""
        pairs = [(self._server(secure=True), tls), (self._server(secure=False), plain)]
        following = asyncio.create_task(self._follow_certificate())
        try:
            async with asyncio.TaskGroup() as group:
                for server, sockets in pairs:
                    if sockets:
                        self._servers.append(server)
                        group.create_task(server.serve(sockets=list(sockets)))
        finally:
            following.cancel()

    def stop(self) -> None:
        for server in self._servers:
            server.stop()

    async def _follow_certificate(self) -> None:
        """New connections get the certificate that lies there now, be it ours renewed or the operator's own."""
        if self._certificate is None or self._key is None:
            return
        shown = _stamps(self._certificate, self._key)
        while True:
            await asyncio.sleep(self.look_every)
            there = _stamps(self._certificate, self._key)
            if there == shown:
                continue
            try:
                # Tried apart from what serves: the files may just be of different pairs.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
                for context in [s.config.ssl for s in self._servers if s.config.ssl is not None]:
                    context.load_cert_chain(self._certificate, self._key)
            except (OSError, ssl.SSLError) as error:
                log.warning("the new certificate can't be used", file=str(self._certificate), reason=str(error))
                continue
            shown = there
            log.info("showing another certificate", file=str(self._certificate))

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


def _stamps(*files: Path) -> tuple[tuple[int, int], ...] | None:
    """What changes when one of the files does; None while one is not there."""
    try:
        known = [file.stat() for file in files]
    except OSError:
        return None
    return tuple((one.st_ino, one.st_mtime_ns) for one in known)
