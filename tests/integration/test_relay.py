"""Events on their way from the outbox to a real NATS."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from tests.cloud_conformance import eventually
from tests.integration.conftest import Database

from ccx.ids import new_id
from ccx.state.relay import STREAM, Relay
from ccx.stores import outbox


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    server = subprocess.Popen(
        [Path(sys.prefix) / "bin" / "nats-server", "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", tmp_path,
         "--ports_file_dir", tmp_path],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        ports = tmp_path / f"nats-server_{server.pid}.ports"
        async with asyncio.timeout(20):
            while not ports.exists():
                await asyncio.sleep(0.05)
        connected = await nats.connect(json.loads(ports.read_text())["nats"][0])
        yield connected
        await connected.close()
    finally:
        server.kill()
        server.wait()


async def test_a_nats_that_came_back_without_the_stream_gets_the_events_all_the_same(
    client: Client, database: Database
) -> None:
    async def emit() -> None:
        async with database.sessions.begin() as tx:
            outbox.emit(tx, new_id(), "status")

    async def all_sent() -> bool:
        async with database.sessions() as tx:
            return not await outbox.waits(tx)

    relaying = asyncio.create_task(Relay(database.sessions, client, poll=0.05).run())
    try:
        await emit()
        await eventually(all_sent, 20)
        await client.jetstream().delete_stream(STREAM)
        await emit()
        await eventually(all_sent, 20)
        assert (await client.jetstream().stream_info(STREAM)).state.messages == 1
    finally:
        relaying.cancel()
        with suppress(asyncio.CancelledError):
            await relaying
