"""Files of a binary log, of MariaDB and of MySQL: the same frame, in which each writes its own events."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

FORMAT = 15
_MAGIC = b"\xfebin"
_HEADER = struct.Struct("<IBIIIH")
"""Time, kind, server, length, where the next begins, flags."""


class Unreadable(Exception):
    """It is no binary log, or not whole."""


class BreaksOff(Unreadable):
    """It ends in the middle of an event: it is being written, or was when its server or the machine died."""


@dataclass(frozen=True)
class Transaction:
    gtid: str
    number: int
    """Its place in the history."""
    time: float
    """In seconds since 1970; what of it happened then, is each log's own to say."""
    offset: int


def events(log: IO[bytes], bodies: tuple[int, ...]) -> Iterator[tuple[int, bytes, tuple[int, int], int]]:
    """Kind, body (of those kinds only), time and server, and where it stands."""
    if log.read(4) != _MAGIC:
        raise Unreadable("it is no binary log")
    offset = 4
    while head := log.read(_HEADER.size):
        if len(head) < _HEADER.size:
            raise BreaksOff("it ends in the middle of an event")
        time, kind, server, length, _, _ = _HEADER.unpack(head)
        if length < _HEADER.size:
            raise Unreadable(f"an event of {length} bytes at {offset}")
        body = log.read(length - _HEADER.size) if kind in bodies else b""
        if kind in bodies and len(body) < length - _HEADER.size:
            raise BreaksOff("it ends in the middle of an event")
        yield kind, body, (time, server), offset
        offset += length
        log.seek(offset)
