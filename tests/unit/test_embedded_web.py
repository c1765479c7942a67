"""The public listener goes on while its certificate is replaced."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from ccx.embedded.web import Web
from ccx.pki import KeyPair, issue, new_ca

CA = new_ca("test")


class Listener:
    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.trust = ssl.create_default_context(cadata=CA.certificate)

    def put(self, pair: KeyPair) -> None:
        self.key.write_text(pair.key)
        self.certificate.write_text(pair.certificate)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self.socket.getsockname()[1]
        return await asyncio.open_connection("127.0.0.1", port, ssl=self.trust)

    async def shown(self) -> str:
        _, writer = await self.connect()
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return ssl.DER_cert_to_PEM_cert(certificate)

    async def until_shown(self, pair: KeyPair) -> None:
        wanted = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(pair.certificate))
        async with asyncio.timeout(10):
            while await self.shown() != wanted:
                await asyncio.sleep(0.02)


def leaf() -> KeyPair:
    return issue(CA, "listener", addresses=["127.0.0.1"], client=False)


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[Listener]:
    made = Listener(tmp_path)
    made.put(first := leaf())
    web = Web(FastAPI(), certificate=made.certificate, key=made.key)
    web.look_every = 0.02
    running = asyncio.create_task(web.run(tls=[made.socket], plain=[]))
    await made.until_shown(first)
    yield made
    web.stop()
    await running


async def test_new_connections_get_the_new_certificate_and_old_ones_go_on(listener: Listener) -> None:
    reader, writer = await listener.connect()

    listener.put(second := leaf())
    await listener.until_shown(second)

    writer.write(b"GET /nothing HTTP/1.1\r\nHost: listener\r\nConnection: close\r\n\r\n")
    assert b"404" in await reader.readline()
    writer.close()


async def test_a_certificate_without_its_key_is_not_shown(listener: Listener) -> None:
    before = await listener.shown()

    listener.certificate.write_text(leaf().certificate)
    for _ in range(10):
        assert await listener.shown() == before
        await asyncio.sleep(0.02)

    listener.put(good := leaf())
    await listener.until_shown(good)
