"""Connecting to a cluster as fast as it allows: all nodes side by side, again and again, until one accepts writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping, Sequence

from ccx.demo.client import Broken, Client, Line, Parameters

_AGAIN_SECONDS = 0.05
_LOOK_SECONDS = 0.1


async def first_to_accept_writes(
    client: Client, nodes: Sequence[Parameters], stopping: Callable[[], bool], refusals: MutableMapping[str, str]
) -> Line | None:
    """A connection to the first node that accepts writes; None when ``stopping()`` becomes true before.

    Each node is knocked at on its own, so one that does not answer delays no other. ``refusals`` gets each node's last
    reason. Raises an error of the library's for what trying again can't cure (a parameter that it does not know).
    """
    knocking = {asyncio.create_task(_knock(client, node, refusals)) for node in nodes}
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
            if not isinstance(outcome, BaseException):
                await outcome.close()


async def _knock(client: Client, node: Parameters, refusals: MutableMapping[str, str]) -> Line:
    name = str(node.get("host") or node.get(client.address) or "")
    while True:
        try:
            return await client.open(node)
        except Broken as error:
            refusals[name] = str(error)
        await asyncio.sleep(_AGAIN_SECONDS)
