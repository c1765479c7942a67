"""Files of MySQL's binary log, written as a server writes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from agent.ccx_agent.mysql_gtid import GtidSet

BEGAN = 1_790_000_000
SERVERS = tuple(f"00000000-0000-0000-0000-00000000000{n}" for n in range(1, 5))


def mysql_log_of(path: Path, before: str, written: Sequence[tuple[str, float]], *, tagged: bool = False) -> Path:
    """A format, the set of what was before, and transactions: as (GTID, when it was committed).

    ``tagged``: the set is written as it is since 8.3 where a server has ever had a tag.
    """
    events = [_event(15, b"\0" * 100), _event(35, previous(GtidSet.parse(before), tagged=tagged))]
    for gtid, at in written:
        name, _, number = gtid.rpartition(":")
        server, _, tag = name.partition(":")
        micro = int(at * 1e6)
        if tag:
            events.append(_event(42, _tagged(UUID(server), tag, int(number), micro)))
        else:
            body = b"\0" + UUID(server).bytes + struct.pack("<QBqq", int(number), 2, 0, 1)
            events.append(_event(33, body + micro.to_bytes(7, "little") + b"\xfc\x10\x01" + b"\0" * 4))
        events.append(_event(16, b"\0" * 8))
    path.write_bytes(b"\xfebin" + b"".join(events))
    return path


def previous(found: GtidSet, *, tagged: bool) -> bytes:
    """The content of the event that a file begins with."""
    entries = sorted(found.spans.items())
    tagged = tagged or any(name.count(":") for name, _ in entries)
    written = struct.pack("<Q", 1 << 56 | len(entries) << 8 | 1 if tagged else len(entries))
    for name, spans in entries:
        server, _, tag = name.partition(":")
        written += UUID(server).bytes
        written += varying(len(tag)) + tag.encode() if tagged else b""
        written += struct.pack("<Q", len(spans)) + b"".join(
            struct.pack("<QQ", first, last + 1) for first, last in spans
        )
    return written


def _tagged(server: UUID, tag: str, number: int, micro: int) -> bytes:
    octets = b"".join(varying(octet) for octet in server.bytes)
    fields = [
        varying(0), varying(1), octets, varying(2), varying(2 * number), varying(3), varying(len(tag)), tag.encode(),
        varying(4), varying(0), varying(5), varying(2), varying(6), varying(micro), varying(8), varying(300),
        varying(9), varying(90700),
    ]  # fmt: skip
    content = varying(0) + b"".join((fields[0], varying(1), *fields[1:]))
    return varying(1) + varying(len(content) + 2) + content


def varying(value: int) -> bytes:
    """In as few bytes as it takes; the first one has as many ones at its end as bytes follow."""
    size = next((n for n in range(1, 9) if value < 1 << 7 * n), 9)
    if size == 9:
        return b"\xff" + value.to_bytes(8, "little")
    return (value << size | (1 << size - 1) - 1).to_bytes(size, "little")


def _event(kind: int, body: bytes) -> bytes:
    written = struct.pack("<IBIIIH", BEGAN, kind, 1, 19 + len(body) + 4, 0, 0) + body
    return written + struct.pack("<I", zlib.crc32(written))
