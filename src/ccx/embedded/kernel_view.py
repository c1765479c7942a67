"""Tells the control plane what the kernel saw of its own connections: root is needed to list that, and it has none.

Whoever may open the socket (group ``ccx``) gets the same answer to whatever it asks: nothing it sends is looked at.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ccx.embedded.layout import USER, Layout
from ccx.embedded.namespace import nft
from ccx.errors import CcxError
from ccx.network import observer

_REQUEST_WITHIN_S = 5.0


@asynccontextmanager
async def served(layout: Layout) -> AsyncIterator[None]:
    """Begins to observe, and answers at ``kernel.sock`` meanwhile. What was seen before stays."""
    await nft(layout, "-f", "-", stdin=observer.rules(units=False))
    path = layout.run / "kernel.sock"
    path.unlink(missing_ok=True)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_WITHIN_S):
                await reader.readuntil(b"\r\n\r\n")
            status, body = await _reading(layout)
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    shutil.chown(path, group=USER)
    os.chmod(path, 0o660)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _reading(layout: Layout) -> tuple[str, bytes]:
    try:
        tried, passed, allowed = [
            await nft(layout, *command[1:]) for command in (observer.READ, observer.READ, observer.ALLOWED)
        ]
    except CcxError as error:
        return "500 Internal Server Error", json.dumps({"err": error.err}).encode()
    users = {str(user.pw_uid): user.pw_name for user in pwd.getpwall()}
    return "200 OK", json.dumps({"tried": tried, "passed": passed, "allowed": allowed, "users": users}).encode()
