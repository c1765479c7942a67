"""``Idempotency-Key``: a request that is repeated because its answer got lost is answered again, not done again.

Kept per owner for 24 hours with a digest of the request. Only successes are kept: a refusal changed nothing, so it may
come out differently next time. Answers that hold a secret are never kept: their routes don't use this.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from fastapi import Request, Response
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.auth.identity import Owner
from ccx.db import utc_now
from ccx.errors import Invalid
from ccx.rest.models import RememberedRequest

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
LONGEST_KEY = 255


@dataclass(frozen=True)
class Remembering:
    """The memory of one request."""

    row: RememberedRequest

    @classmethod
    async def begin(cls, tx: AsyncSession, request: Request, owner: Owner) -> Remembering | None:
        """Takes the key; waits for a request of the same key that is under way. None where no key was sent.

        Raises Invalid when the key was used for another request.
        """
        key = request.headers.get(HEADER)
        if key is None:
            return None
        if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
            raise Invalid(f"a key has 1 to {LONGEST_KEY} characters", field=HEADER, remedy="Send a UUID")
        digest = await _digest(request)
        mine = (RememberedRequest.owner_type == owner[0], RememberedRequest.owner_id == owner[1])
        await tx.execute(delete(RememberedRequest).where(*mine, RememberedRequest.created_at < utc_now() - KEPT))
        new = insert(RememberedRequest).values(
            owner_type=owner[0], owner_id=owner[1], key=key, request_sha256=digest, created_at=utc_now()
        )
        await tx.execute(new.on_conflict_do_nothing())
        row = (await tx.scalars(select(RememberedRequest).where(*mine, RememberedRequest.key == key))).one()
        if row.request_sha256 != digest:
            raise Invalid(
                "this key was used for another request", field=HEADER, remedy="Send a new key for a new request"
            )
        return cls(row)

    def answer(self) -> Response | None:
        """What was answered the first time; None when this is the first time."""
        if self.row.status is None:
            return None
        headers = {"Idempotency-Replayed": "true"}
        return Response(self.row.body, self.row.status, headers, media_type="application/json")

    def end(self, response: Response) -> None:
        """Remembers the answer; it is stored when the request's transaction commits."""
        if response.status_code < 400:
            self.row.status, self.row.body = response.status_code, bytes(response.body)


async def _digest(request: Request) -> str:
    head = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(head + await request.body()).hexdigest()
