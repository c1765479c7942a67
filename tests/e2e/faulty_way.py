"""A way to the object store that can be told to fail: a proxy between nodes and the real store, run by tests.

``python -m tests.e2e.faulty_way ADDRESS PORT STORE_PORT CERTIFICATE KEY CA`` serves at ``ADDRESS:PORT`` in its network
namespace, with the store's own certificate, and passes requests on to ``ADDRESS:STORE_PORT`` unchanged. A line of JSON
on its standard input says what is wrong from then on:

- ``{}``: nothing;
- ``{"status": 503, "methods": ["PUT", "GET"]}``: such requests are answered so, and the store hears nothing of them.
  ``"after": 3``: not the first three;
- ``{"rate": 100000}``: so many bytes a second pass, of all connections together, each way.

After each line it prints one: how many requests it has refused and passed on since it was told. ``null`` only asks.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from dataclasses import dataclass, field
from typing import Any

_REASONS = {
    503: ("Slow Down", "SlowDown", "Please reduce your request rate."),
    507: ("Insufficient Storage", "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold."),
}
_CHUNK = 16384


@dataclass
class Fault:
    """What is wrong, and what it did."""

    status: int = 0
    methods: tuple[str, ...] = ()
    after: int = 0
    rate: float = 0
    refused: int = 0
    passed: int = 0
    _free: float = field(default=0.0, repr=False)

    def refuses(self, method: str) -> bool:
        if not self.status or (self.methods and method not in self.methods) or self.passed < self.after:
            self.passed += 1
            return False
        self.refused += 1
        return True

    async def slow(self, size: int) -> None:
        """Returns when that many bytes may pass."""
        if self.rate:
            now = asyncio.get_running_loop().time()
            self._free = max(self._free, now) + size / self.rate
            await asyncio.sleep(self._free - now)


class Way:
    def __init__(self, address: str, port: int, trust: ssl.SSLContext) -> None:
        self._store = (address, port, trust)
        self.fault = Fault()

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection of a node's, and one to the store for it."""
        address, port, trust = self._store
        store: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while head := await _head(client):
                method = head.split(b" ", 1)[0].decode()
                if self.fault.refuses(method):
                    await self._body(head, client, None)
                    answers.write(_refusal(self.fault.status, method))
                    await answers.drain()
                    continue
                if store is None:
                    store = await asyncio.open_connection(address, port, ssl=trust)
                store[1].write(head)
                await self._body(head, client, store[1])
                told = await _head(store[0])
                answers.write(told)
                if method != "HEAD" and told.split(b" ", 2)[1] not in (b"204", b"304"):
                    await self._body(told, store[0], answers)
                await answers.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of the two went: so does the other
        finally:
            answers.close()
            if store is not None:
                store[1].close()

    async def _body(self, head: bytes, source: asyncio.StreamReader, to: asyncio.StreamWriter | None) -> None:
        headers = _headers(head)
        if "chunked" in headers.get("transfer-encoding", ""):
            while True:
                line = await source.readuntil(b"\r\n")
                size = int(line.split(b";")[0], 16)
                chunk = line + await source.readexactly(size + 2)
                if to is not None:
                    to.write(chunk)
                    await self.fault.slow(size)
                    await to.drain()
                if size == 0:
                    return
        left = int(headers.get("content-length", 0))
        while left:
            part = await source.readexactly(min(left, _CHUNK))
            left -= len(part)
            if to is not None:
                to.write(part)
                await self.fault.slow(len(part))
                await to.drain()


async def _head(source: asyncio.StreamReader) -> bytes:
    """A request's or answer's lines before its body; nothing at the end of the connection."""
    try:
        return await source.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.strip().lower(): value.strip().lower() for name, _, value in lines if name}


def _refusal(status: int, method: str) -> bytes:
    reason, code, message = _REASONS[status]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
    length = f"content-type: application/xml\r\ncontent-length: {len(body)}"
    return f"HTTP/1.1 {status} {reason}\r\n{length}\r\n\r\n".encode() + (b"" if method == "HEAD" else body)


async def main(address: str, port: str, store_port: str, certificate: str, key: str, ca: str) -> None:
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(certificate, key)
    way = Way(address, int(store_port), ssl.create_default_context(cafile=ca))
    server = await asyncio.start_server(way.serve, address, int(port), ssl=shown)
    told = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(told)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    print(json.dumps({"serves": True}), flush=True)
    async with server:
        while line := await told.readline():
            wanted = json.loads(line)
            said: dict[str, Any] = {"refused": way.fault.refused, "passed": way.fault.passed}
            if wanted is not None:
                way.fault = Fault(**{**wanted, "methods": tuple(wanted.get("methods", ()))})
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
