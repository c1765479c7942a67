"""Ports that nobody uses now."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack


def free_ports(count: int) -> int:
    """The first of ``count`` free loopback ports in a row; the ports 10000 above them are free as well (for gRPC)."""
    while True:
        first = random.randrange(20000, 30000)
        try:
            with ExitStack() as held:
                for port in (*range(first, first + count), *range(first + 10000, first + 10000 + count)):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        return first
