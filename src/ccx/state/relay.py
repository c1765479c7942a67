"""The outbox's way out: events to NATS JetStream, in order, at least once (its window drops duplicates)."""

from __future__ import annotations

import asyncio
import json

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from sqlalchemy.exc import SQLAlchemyError

from ccx.db import SessionFactory
from ccx.stores import outbox

STREAM = "CCX"
SUBJECTS = "ccx.>"
KEPT_SECONDS = 7 * 24 * 3600

log = structlog.get_logger()


class Relay:
    """Publishes what the outbox holds. Looks every ``poll`` seconds."""

    def __init__(self, sessions: SessionFactory, nats: Client, poll: float = 1.0) -> None:
        self._sessions = sessions
        self._nats = nats
        self._poll = poll

    async def run(self) -> None:
        """Runs until cancelled. An outage of NATS or of the database delays events, and loses none."""
        stream_ready = False
        while True:
            try:
                if not stream_ready:
                    await self._nats.jetstream().add_stream(
                        StreamConfig(
                            name=STREAM, subjects=[SUBJECTS], max_age=KEPT_SECONDS, max_bytes=256 * 1024 * 1024
                        )
                    )
                    stream_ready = True
                while await self._waits() and await self._publish_some():
                    pass
            except (NatsError, TimeoutError, OSError, SQLAlchemyError) as error:
                log.warning("events wait in the outbox", reason=str(error) or type(error).__name__)
                stream_ready = False  # NATS may have come back without it
            await asyncio.sleep(self._poll)

    async def _waits(self) -> bool:
        """A look that costs little and locks nothing: most find nothing."""
        async with self._sessions() as session:
            return await outbox.waits(session)

    async def _publish_some(self) -> bool:
        async with self._sessions.begin() as tx:
            events = await outbox.pending(tx)
            jetstream = self._nats.jetstream()
            for event in events:
                body = json.dumps({"id": event.id, **event.payload}).encode()
                subject = event.subject.replace(" ", "-")  # older versions wrote some that are none
                await jetstream.publish(subject, body, headers={"Nats-Msg-Id": str(event.id)}, timeout=5)
            await outbox.published(tx, [event.id for event in events])
        return bool(events)
