"""What is over for long is dropped; what runs, is recent or is the last of its datastore stays."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import text
from tests.integration.conftest import Database

from ccx.db import utc_now
from ccx.runner.services import Services
from ccx.settings import Paths, Settings
from ccx.state import forgetting
from ccx.stores.models import Audit

KEEP, KEEP_AUDIT = 30, 60
OLD, NEW = timedelta(days=KEEP + 1), timedelta(days=KEEP - 1)


async def job(database: Database, key: str, ago: timedelta, status: str = "done") -> UUID:
    """A job that was enqueued, and ended if it has, so long ago; with a step."""
    id_, at = uuid4(), utc_now() - ago
    async with database.sessions.begin() as tx:
        await tx.execute(
            text("insert into jobs.job (id, kind, key, label, args, status, created_at, run_at, finished_at) values"
                 " (:id, 'k', :key, 'k', '{}', :status, :at, :at, case when :ended then cast(:at as timestamptz) end)"),
            {"id": id_, "key": key, "status": status, "at": at, "ended": status in ("done", "failed", "cancelled")},
        )  # fmt: skip
        await tx.execute(
            text("insert into jobs.step (job_id, name, number, state, undoable, token, attempts, started_at)"
                 " values (:id, 's', 1, 'done', false, 1, 1, :at)"), {"id": id_, "at": at},
        )  # fmt: skip
    return id_


async def kept(database: Database, table: str, column: str) -> set[Any]:
    async with database.sessions() as tx:
        return set((await tx.scalars(text(f"select {column} from {table}"))).all())


def services(database: Database, keep_audit: int = KEEP_AUDIT) -> Services:
    settings = Settings(paths=Paths.of("x"), keep_history_days=KEEP, keep_audit_days=keep_audit)
    return cast(Services, SimpleNamespace(sessions=database.sessions, settings=settings))


async def test_old_jobs_are_dropped_with_their_steps_but_for_the_last_of_each_key(database, monkeypatch):
    monkeypatch.setattr(forgetting, "BATCH", 2)
    dropped = [await job(database, "a", OLD + timedelta(days=n), status) for n, status in
               enumerate(("done", "failed", "cancelled", "done"), 1)]  # fmt: skip
    stays = [
        await job(database, "a", OLD), await job(database, "b", OLD), await job(database, "c", NEW),
        await job(database, "c", timedelta(0)), await job(database, "d", OLD, "running"),
        await job(database, "d", timedelta(0)), await job(database, "e", OLD, "queued"),
    ]  # fmt: skip
    assert await forgetting.forget(services(database)) == len(dropped)
    assert await kept(database, "jobs.job", "id") == set(stays)
    assert await kept(database, "jobs.step", "job_id") == set(stays)
    assert await forgetting.forget(services(database)) == 0


async def test_sent_events_are_dropped_and_unsent_ones_are_not(database):
    async with database.sessions.begin() as tx:
        for name, at in (("old", utc_now() - OLD), ("new", utc_now() - NEW), ("unsent", None)):
            await tx.execute(
                text("insert into stores.outbox (subject, payload, created_at, published_at)"
                     " values (:name, '{}', cast(:made as timestamptz), cast(:at as timestamptz))"),
                {"name": name, "made": utc_now() - OLD, "at": at},
            )  # fmt: skip
    await forgetting.forget(services(database))
    assert await kept(database, "stores.outbox", "subject") == {"new", "unsent"}


async def test_the_audit_is_dropped_after_its_own_time_or_never(database, monkeypatch):
    monkeypatch.setattr(forgetting, "BATCH", 2)
    async with database.sessions.begin() as tx:
        for days in (KEEP_AUDIT - 1, *range(KEEP_AUDIT + 1, KEEP_AUDIT + 6)):
            tx.add(Audit(actor="user:x", action=f"{days} days ago", at=utc_now() - timedelta(days=days)))
    await forgetting.forget(services(database, keep_audit=0))
    assert len(await kept(database, "stores.audit", "action")) == 6
    await forgetting.forget(services(database))
    assert await kept(database, "stores.audit", "action") == {f"{KEEP_AUDIT - 1} days ago"}
