"""A connection to the database server on this node, by its socket: as much of the protocol as asking takes.

A client program for each question would cost more than the question, and could not be given a time limit.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType

_CAPABILITIES = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x80000  # long password, 4.1, transactions, secure, plugins
_LARGEST, _UTF8MB4 = 1 << 24, 45
_OK, _ERROR, _END, _NULL = 0x00, 0xFF, 0xFE, 0xFB

Row = dict[str, str]
"""Values by column; NULL is an empty text."""


class ServerSilent(Exception):
    """There is no server, or none that answers in time."""


class ServerRefused(Exception):
    """The server answered with an error. ``number`` is its code."""

    def __init__(self, number: int, words: str) -> None:
        super().__init__(words)
        self.number = number


class Connection:
    """Logged in as the operating system's user, which needs no password. ``limit``: seconds for each answer."""

    def __init__(self, path: str, user: str, limit: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(limit)
        self._sequence = 0
        try:
            self._socket.connect(path)
            self._log_in(user)
        except (OSError, EOFError) as error:
            self._socket.close()
            raise ServerSilent(f"the server does not answer: {error}") from None
        except ServerRefused:
            self._socket.close()
            raise

    def query(self, statement: str, limit: float | None = None) -> list[Row]:
        """One statement; its rows. After :class:`ServerSilent` the connection is of no use any more."""
        before = self._socket.gettimeout()
        try:
            if limit is not None:
                self._socket.settimeout(limit)
            self._sequence = 0
            self._send(b"\x03" + statement.encode())
            return self._rows()
        except (OSError, EOFError) as error:
            self.close()
            raise ServerSilent(f"the server does not answer: {error}") from None
        finally:
            if self._socket.fileno() >= 0:
                self._socket.settimeout(before)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _log_in(self, user: str) -> None:
        greeting = self._receive()
        if greeting[:1] == b"\xff":
            raise _refusal(greeting)
        self._send(
            struct.pack("<IIB23x", _CAPABILITIES, _LARGEST, _UTF8MB4) + user.encode() + b"\0\0mysql_native_password\0"
        )
        while (answer := self._receive())[0] != _OK:
            if answer[0] == _ERROR:
                raise _refusal(answer)
            self._send(b"")  # the server asks for another way in: who we are, it sees by the socket

    def _rows(self) -> list[Row]:
        head = self._receive()
        if head[0] == _ERROR:
            raise _refusal(head)
        if head[0] == _OK:
            return []
        count, _ = _number(head, 0)
        names = [_texts(self._receive(), 5)[4] for _ in range(count)]
        self._receive()
        found = []
        while not _is_end(packet := self._receive()):
            if packet[0] == _ERROR:
                raise _refusal(packet)
            found.append(dict(zip(names, _texts(packet, count), strict=True)))
        return found

    def _send(self, payload: bytes) -> None:
        self._socket.sendall(struct.pack("<I", len(payload))[:3] + bytes([self._sequence]) + payload)
        self._sequence = (self._sequence + 1) % 256

    def _receive(self) -> bytes:
        head = self._exactly(4)
        self._sequence = (head[3] + 1) % 256
        return self._exactly(int.from_bytes(head[:3], "little")) or b"\0"

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            part = self._socket.recv(size - len(read))
            if not part:
                raise EOFError("it closed the connection")
            read += part
        return read


def quoted(value: str) -> str:
    """As a literal, whatever it holds."""
    if "\0" in value:
        raise ValueError("a value holds a zero byte")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def name(value: str) -> str:
    """As an identifier."""
    if "\0" in value:
        raise ValueError("a name holds a zero byte")
    return "`" + value.replace("`", "``") + "`"


def _is_end(packet: bytes) -> bool:
    return packet[0] == _END and len(packet) < 9


def _refusal(packet: bytes) -> ServerRefused:
    number, words = int.from_bytes(packet[1:3], "little"), packet[3:]
    return ServerRefused(number, (words[6:] if words[:1] == b"#" else words).decode(errors="replace"))


def _number(packet: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where the next thing begins."""
    first = packet[at]
    if first < _NULL:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(packet[at + 1 : at + 1 + size], "little"), at + 1 + size


def _texts(packet: bytes, count: int) -> list[str]:
    found, at = [], 0
    for _ in range(count):
        if packet[at] == _NULL:
            found.append("")
            at += 1
            continue
        size, at = _number(packet, at)
        found.append(packet[at : at + size].decode(errors="replace"))
        at += size
    return found
