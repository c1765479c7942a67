"""Metrics for operators."""

from __future__ import annotations

from fastapi.responses import PlainTextResponse

from ccx.rest.deps import Transaction
from ccx.rest.routing import OperatorRoute
from ccx.rest.routing import router as make_router

router = make_router(OperatorRoute, "", "operators")


class Exposition(PlainTextResponse):
    media_type = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics",
    responses={200: {"content": {Exposition.media_type: {"schema": {"type": "string"}}}}},
    response_model=None,
)
async def metrics(tx: Transaction) -> Exposition:
    """Each datastore's status, its backups and what is proved of them, for Prometheus. An operator's token reads it."""
    from ccx.rest.exposition import exposition  # who is never scraped does without the library

    return Exposition(await exposition(tx))
