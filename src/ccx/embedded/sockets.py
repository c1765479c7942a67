"""Listening sockets, opened by the supervisor and handed to the serving process by number.

They live as long as the supervisor: while the serving process restarts, clients wait instead of being refused.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass

from ccx.embedded.layout import HTTP_PORT, HTTPS_PORT, Layout
from ccx.embedded.namespace import listening_socket


@dataclass(frozen=True)
class Sockets:
    """``tls``: the public one and the nodes' one. ``plain``: for what runs inside the namespace."""

    tls: tuple[socket.socket, ...]
    plain: tuple[socket.socket, ...]

    @property
    def numbers(self) -> list[int]:
        return [one.fileno() for one in (*self.tls, *self.plain)]

    def argument(self) -> str:
        """What the serving process is told, for :func:`received`."""
        return f"{_join(self.tls)}/{_join(self.plain)}"


def opened(layout: Layout) -> Sockets:
    """Opens all of an instance's. Raises OSError."""
    inside = layout.namespace_file
    return Sockets(
        tls=(
            listening_socket(layout.listen_address),
            listening_socket(("0.0.0.0", HTTPS_PORT), inside),  # noqa: S104 - the namespace's own addresses
        ),
        plain=(listening_socket(("127.0.0.1", HTTP_PORT), inside),),
    )


def received(argument: str) -> Sockets:
    """The sockets behind the numbers that this process was started with."""
    tls, _, plain = argument.partition("/")
    return Sockets(tuple(_adopt(tls)), tuple(_adopt(plain)))


def _join(sockets: Iterable[socket.socket]) -> str:
    return ",".join(str(one.fileno()) for one in sockets)


def _adopt(numbers: str) -> Iterable[socket.socket]:
    for number in filter(None, numbers.split(",")):
        yield socket.socket(fileno=int(number))
