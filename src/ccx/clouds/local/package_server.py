"""Serves a folder by HTTP, for reading: ``python -I package_server.py FOLDER ADDRESS PORT``.

A script of its own, standard library only, run without privileges in the router's network namespace.
"""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import sys
from functools import partial
from typing import BinaryIO


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(http.server.SimpleHTTPRequestHandler):
    """Keeps connections, as apt likes it, and lists no folders."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    server_version = "ccx-packages"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def list_directory(self, path: str | os.PathLike[str]) -> None:
        self.send_error(404)

    def copyfile(self, source: object, outputfile: object) -> None:
        """By the kernel, from file to socket."""
        if hasattr(source, "fileno") and (size := os.fstat(source.fileno()).st_size):
            self.wfile.flush()
            self.connection.sendfile(_binary(source), 0, size)
        else:
            shutil.copyfileobj(source, outputfile)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of what went well."""

    def log_error(self, format: str, *args: object) -> None:
        print(f"{self.client_address[0]} {self.path}: {format % args}", file=sys.stderr, flush=True)


def _binary(source: object) -> BinaryIO:
    return source  # type: ignore[return-value]


def main(folder: str, address: str, port: str) -> None:
    with Server((address, int(port)), partial(Handler, directory=folder)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
