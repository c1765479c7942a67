"""Server state changes, handed to whoever listens now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ccx.clouds.base import CloudEvent

_LONGEST_QUEUE = 1000


class Events:
    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[CloudEvent]] = set()
        self.silent = False
        """Set by tests: nothing is reported, as on a cloud that does not."""

    def publish(self, event: CloudEvent) -> None:
        if self.silent:
            return
        for queue in self._listeners:
            if queue.full():  # a listener that sleeps; it compares with the cloud anyway when it wakes
                queue.get_nowait()
            queue.put_nowait(event)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Queue[CloudEvent]]:
        """Everything published from now on."""
        queue: asyncio.Queue[CloudEvent] = asyncio.Queue(_LONGEST_QUEUE)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
