"""Whether the API can work."""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy import text

from ccx.rest.deps import Transaction
from ccx.rest.routing import OpenRoute
from ccx.rest.routing import router as make_router

router = make_router(OpenRoute, "/api", "health")


class Health(BaseModel):
    status: str


@router.get("/health")
async def health(tx: Transaction) -> Health:
    """200 while the metadata database answers, else 503."""
    await tx.execute(text("select 1"))
    return Health(status="ok")
