"""Connecting to a cluster as fast as it allows: all nodes side by side, again and again, until one accepts writes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection

_AGAIN_SECONDS = 0.05
_LOOK_SECONDS = 0.1

_PARAMETERS = {
    "target_session_attrs": "read-write",
    "connect_timeout": 2,
    # A peer that vanished without a word is given up a second after it owes us an acknowledgement.
    "tcp_user_timeout": 1000,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "application_name": "ccx-demo-writer",
}


async def first_to_accept_writes(
    nodes: Sequence[Mapping[str, Any]], stopping: Callable[[], bool], refusals: MutableMapping[str, str]
) -> AsyncConnection[Any] | None:
    """A connection (autocommit) to the first node that accepts writes; None when ``stopping()`` becomes true before.

    Each node is knocked at on its own, so one that does not answer delays no other. ``refusals`` gets each node's last
    reason. Raises psycopg.Error for what trying again can't cure (a parameter that libpq does not know).
    """
    knocking = {asyncio.create_task(_knock(node, refusals)) for node in nodes}
    try:
        while not stopping():
            done, _ = await asyncio.wait(knocking, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if done:
                winner = done.pop()
                knocking.discard(winner)
                return winner.result()
        return None
    finally:
        for task in knocking:
            task.cancel()
        for outcome in await asyncio.gather(*knocking, return_exceptions=True):
            if isinstance(outcome, AsyncConnection):
                with suppress(psycopg.Error):
                    await outcome.close()


async def _knock(node: Mapping[str, Any], refusals: MutableMapping[str, str]) -> AsyncConnection[Any]:
    name = str(node.get("host") or node.get("hostaddr") or "")
    while True:
        try:
            return await AsyncConnection.connect(autocommit=True, **{**_PARAMETERS, **node})
        except psycopg.OperationalError as error:
            refusals[name] = str(error).strip().splitlines()[-1]
        await asyncio.sleep(_AGAIN_SECONDS)


def hang_up(connection: AsyncConnection[Any]) -> None:
    """Ends a connection whose server is stuck: whoever waits for an answer gets psycopg.OperationalError at once.

    Cancelling would not do: psycopg then asks the server to cancel the statement, and waits for it.
    """
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
