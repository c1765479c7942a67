"""Metrics for operators."""

from __future__ import annotations

from fastapi.responses import PlainTextResponse

from ccx.rest.deps import Context, Transaction
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
async def metrics(tx: Transaction, services: Context) -> Exposition:
    """Each datastore's status, its backups and what is proved of them; and how old the control plane's own copy is.

    For Prometheus. An operator's token reads it.
    """
    from ccx.rest.exposition import exposition  # who is never scraped does without the library

    return Exposition(await exposition(tx, services.settings.paths.var))
