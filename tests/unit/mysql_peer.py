"""The other end of a connection to a database server: as much of the protocol as its answers take."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

Table = Sequence[dict[str, str | None]]


class Refuses(Exception):
    """``number`` and the words of an error that the server answers with."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(words)
        self.packet = b"\xff" + struct.pack("<H", number) + b"#HY000" + words.encode()


@contextmanager
def answering(path: Path, answer: Callable[[str], Table]) -> Iterator[None]:
    """A server at that socket. When it ends, so do its connections."""
    path.unlink(missing_ok=True)
    connections: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    connections.append(connection)
                    threading.Thread(target=_talk, args=(connection, answer), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield
        for one in (listening, *connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _talk(connection: socket.socket, answer: Callable[[str], Table]) -> None:
    with suppress(OSError, EOFError), connection:
        _send(connection, 0, b"\x0a11.8.9-MariaDB\0")
        _receive(connection)
        _send(connection, 2, b"\xfeunix_socket\0")
        _receive(connection)
        _send(connection, 4, b"\0\0\0\2\0\0\0")
        while True:
            statement = _receive(connection)[1:].decode()
            try:
                packets = _packets(answer(statement))
            except Refuses as refused:
                packets = [refused.packet]
            for number, packet in enumerate(packets, start=1):
                _send(connection, number, packet)


def _packets(rows: Table) -> list[bytes]:
    if not rows:
        return [b"\0\0\0\2\0\0\0"]
    end = b"\xfe\0\0\2\0"
    columns = [b"".join(map(_text, ("def", "", "", "", name, name))) for name in rows[0]]
    return [bytes([len(columns)]), *columns, end, *(b"".join(map(_text, row.values())) for row in rows), end]


def _text(value: str | None) -> bytes:
    if value is None:
        return b"\xfb"
    data = value.encode()
    if len(data) < 0xFB:
        return bytes([len(data)]) + data
    if len(data) < 1 << 16:
        return b"\xfc" + struct.pack("<H", len(data)) + data
    return b"\xfd" + struct.pack("<I", len(data))[:3] + data


def _send(connection: socket.socket, number: int, packet: bytes) -> None:
    connection.sendall(struct.pack("<I", len(packet))[:3] + bytes([number % 256]) + packet)


def _receive(connection: socket.socket) -> bytes:
    head = _exactly(connection, 4)
    return _exactly(connection, int.from_bytes(head[:3], "little"))


def _exactly(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = connection.recv(size - len(read))
        if not part:
            raise EOFError
        read += part
    return read
