"""A restore under the same names, of PostgreSQL."""

from __future__ import annotations

from itertools import count

import pytest
from tests.e2e.postgres_application import PostgresApplication
from tests.engine_conformance import Login
from tests.restore_conformance import RestoreInPlaceConformance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class TestPostgres(RestoreInPlaceConformance):
    application = PostgresApplication()
    content = "/bundle/"
    _changes = count()

    async def just_before(self, login: Login, change: str) -> dict[str, object]:
        """By a place in the log; each second time by the transaction."""
        if next(self._changes) % 2 == 0:
            [(place,)] = await self.application.ask(login, "select pg_current_wal_insert_lsn()::text")
            await self.application.ask(login, change)
            return {"pitr_stop_lsn": place}
        change = f"with changed as ({change} returning 1) select pg_current_xact_id()::text"
        [(transaction,)] = await self.application.ask(login, change)
        return {"pitr_stop_xid": int(transaction)}
