"""Slows guessing down: after too many failed log-ins an address has to wait, for one login or for all; and after too
many sign-ups, or it could make accounts without end, and learn which logins are taken.

Counted in the database, so that it holds over all processes of the API. A login alone is never blocked: or anybody
could lock others out.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import case, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from ccx.auth.models import LoginFailure
from ccx.db import utc_now
from ccx.errors import CcxError

WINDOW = timedelta(minutes=15)
PER_LOGIN = 5
"""Failures in the window, for one login from one address."""
PER_ADDRESS = 50


class TooManyFailures(CcxError):
    """Wait before the next try (429). ``detail`` has ``retry_after``, seconds."""

    status = 429


async def check(tx: AsyncSession, login: str, address: str) -> None:
    """Raises :class:`TooManyFailures` while the limit is reached."""
    limits = _limits(login, address)
    rows = await tx.scalars(
        select(LoginFailure).where(LoginFailure.subject.in_(limits), LoginFailure.since > utc_now() - WINDOW)
    )
    over = [row.since for row in rows if row.failures >= limits[row.subject]]
    if over:
        raise _wait("too many failed log-ins", max(over))


async def failed(tx: AsyncSession, login: str, address: str) -> None:
    """Counts a failure, and drops the counts that no longer matter."""
    # Those that nobody counts at this moment: log-ins that fail side by side must not wait for one another in a circle.
    over = select(LoginFailure.subject).where(LoginFailure.since <= utc_now() - WINDOW)
    await tx.execute(delete(LoginFailure).where(LoginFailure.subject.in_(over.with_for_update(skip_locked=True))))
    for subject in sorted(_limits(login, address)):
        await _count(tx, subject)


async def signing_up(tx: AsyncSession, address: str, most: int) -> None:
    """Counts a sign-up from the address. Raises :class:`TooManyFailures` for more than ``most`` in the window."""
    counted, since = await _count(tx, _subject("sign-up:", address))
    if counted > most:
        raise _wait("too many sign-ups from this address", since)


async def succeeded(tx: AsyncSession, login: str, address: str) -> None:
    """Forgets this login's failures from this address; the address's own count stays, whoever has one good account."""
    await tx.execute(delete(LoginFailure).where(LoginFailure.subject == _subject(login, address)))


async def _count(tx: AsyncSession, subject: str) -> tuple[int, datetime]:
    """One more of the subject: how many there were in its window, and when that began."""
    now = utc_now()
    over = LoginFailure.since <= now - WINDOW
    row = await tx.execute(
        insert(LoginFailure)
        .values(subject=subject, failures=1, since=now)
        .on_conflict_do_update(
            index_elements=["subject"],
            set_={
                "failures": case((over, 1), else_=LoginFailure.failures + 1),
                "since": case((over, now), else_=LoginFailure.since),
            },
        )
        .returning(LoginFailure.failures, LoginFailure.since)
    )
    failures, since = row.one()
    return failures, since


def _wait(err: str, since: datetime) -> TooManyFailures:
    wait = max(1, round((since + WINDOW - utc_now()).total_seconds()))
    return TooManyFailures(err, remedy=f"Wait {wait} s, then try again", detail={"retry_after": wait})


def _limits(login: str, address: str) -> dict[str, int]:
    return {_subject(login, address): PER_LOGIN, _subject("", address): PER_ADDRESS}


def _subject(login: str, address: str) -> str:
    return hashlib.sha256(f"{address} {login}".encode()).hexdigest()
