"""What a keeper answers over HTTPS, to whoever has a certificate of the datastore: the control plane and the peers."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

_PATIENCE = 30.0
"""Seconds for a client's next word."""
_HANDSHAKE = 3.0
_PIECE = 1 << 20


def server_context(tls: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls["ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls["certificate"], tls["key"])
    return context


def client_context(tls: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls["ca"])
    context.load_cert_chain(tls["certificate"], tls["key"])
    return context


class Web(ThreadingHTTPServer):
    """``status``: what ``/status`` says; ``alive``: whether the keeper turns; ``hand_over``: to that label, or why not.

    ``copy``: the command that writes a copy of the data; empty where the server itself gives copies.
    """

    daemon_threads = True
    request_queue_size = 64
    allow_reuse_address = True

    def __init__(
        self,
        where: tuple[str, int],
        context: ssl.SSLContext,
        status: Callable[[], dict[str, Any]],
        alive: Callable[[], bool],
        hand_over: Callable[[str], str],
        copy: list[str],
    ) -> None:
        super().__init__(where, _Handler)
        self.context = context
        self.status = status
        self.alive = alive
        self.hand_over = hand_over
        self.copy = copy
        self.copying = Lock()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the request's own thread: a client that does not finish its handshake holds up nobody."""
        request.settimeout(_HANDSHAKE)
        try:
            secured = self.context.wrap_socket(request, server_side=True)
        except (OSError, ValueError):
            return
        secured.settimeout(_PATIENCE)
        try:
            super().finish_request(secured, client_address)
        finally:
            secured.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients go away as they like."""


def keep(keeper: Any, told: dict[str, Any], renew: Callable[[], None]) -> None:
    """Has the keeper turn, and answers for it meanwhile. Told to (SIGHUP), both go by their certificates of then."""
    where = told["address"], told["port"]
    web = Web(
        where, server_context(told["tls"]), lambda: keeper.shown, keeper.alive, keeper.hand_over, told["copy"]
    )  # fmt: skip

    def reload(*_: object) -> None:
        def both() -> None:
            web.context = server_context(told["tls"])
            renew()

        Thread(target=both, daemon=True).start()

    signal.signal(signal.SIGHUP, reload)
    Thread(target=web.serve_forever, daemon=True).start()
    keeper.run()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ccx-keeper"
    sys_version = ""
    server: Web

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        if self.path == "/liveness":
            self._answer(200 if self.server.alive() else 503, {})
        elif self.path == "/status":
            self._answer(200, self.server.status())
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        if self.path == "/copy":
            self._copy()
        elif self.path == "/hand-over":
            refused = self.server.hand_over(str(told.get("to", "")))
            self._answer(409 if refused else 200, {"err": refused})
        else:
            self._answer(404, {})

    def _copy(self) -> None:
        """A copy of the data as a stream. One that fails breaks off, so that nobody takes it for whole."""
        if not self.server.copy:
            return self._answer(404, {"err": "a copy is the server's own to give"})
        if not self.server.copying.acquire(blocking=False):
            return self._answer(409, {"err": "another node is being given a copy"})
        try:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.close_connection = True
            with subprocess.Popen(self.server.copy, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdout is not None
                try:
                    while piece := process.stdout.read(_PIECE):
                        self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                except BaseException:
                    process.kill()
                    raise
            if process.returncode == 0:
                self.wfile.write(b"0\r\n\r\n")
        finally:
            self.server.copying.release()

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of what is asked every second."""
